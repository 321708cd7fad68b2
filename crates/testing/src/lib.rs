//! What the tests of several crates need: addresses on which nobody else listens.
//!
//! A test that binds port 0, notes the number, and lets it go so that a node may take it, races with every other test and with every
//! outgoing connection of the machine. These functions do not.

use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Addresses (`ip:port`) for the nodes of a test. They lie on a loopback address that is this process's own, so that neither another
/// process's test nor an outgoing connection takes one between this look and a node's start.
///
/// # Panics
/// When the machine has no loopback addresses to give.
pub fn addresses(count: usize) -> Vec<String> {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    // 127.0.0.x is where everybody else is.
    let ip = Ipv4Addr::new(127, a | 0x80, b, c);
    let bind = || TcpListener::bind(SocketAddr::from((ip, 0))).expect("a loopback address has free ports");
    let sockets: Vec<_> = (0..count).map(|_| bind()).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("a bound socket has an address").to_string()).collect()
}

/// A port of 127.0.0.1 such that it and those `offsets` further on are free, and given to no other process until this one ends. They lie below
/// the ports that the kernel gives to outgoing connections, and each search begins elsewhere.
///
/// # Panics
/// When no ports are free.
pub fn port_block(offsets: &[u16]) -> u16 {
    const BLOCKS: u64 = 1800;
    static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let reserve_all = |first: u16| {
        let ports = iter::once(first).chain(offsets.iter().map(|offset| first + offset));
        Some((first, ports.map(reserve).collect::<Option<Vec<_>>>()?))
    };
    let first = RandomState::new().hash_one(()) % BLOCKS;
    let mut ports = (first..first + BLOCKS).filter_map(|block| u16::try_from(10_000 + block % BLOCKS * 10).ok());
    let (first, sockets) = ports.find_map(reserve_all).expect("some ports are free");
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
    first
}

/// Keeps a free port from other searches, also while nobody listens there: who is killed finds it again. They look at UDP's port of the same
/// number, which nothing else uses.
fn reserve(port: u16) -> Option<UdpSocket> {
    let reserved = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_can_be_bound() {
        let addresses = addresses(5);
        let sockets: Vec<_> = addresses.iter().map(TcpListener::bind).collect();
        assert!(sockets.iter().all(Result::is_ok));
    }

    #[test]
    fn a_block_in_use_is_not_given() {
        let port = port_block(&[1000]);
        assert!(reserve(port).is_none() && reserve(port + 1000).is_none(), "nobody else gets what was given");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        assert!(
            reserve(taken.local_addr().expect("it has an address").port()).is_none(),
            "nor what somebody listens at"
        );
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("who was given a port can listen there");
    }
}
