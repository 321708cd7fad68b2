//! What the tests of several crates need: addresses on which nobody else listens.
//!
//! A test that binds port 0, notes the number, and lets it go so that a node may take it, races with every other test and with every
//! outgoing connection of the machine. These functions do not.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

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

/// A port of 127.0.0.1 such that it and those `offsets` further on are free. They lie below the ports that the kernel gives to outgoing
/// connections, and each search begins elsewhere.
///
/// # Panics
/// When no ports are free.
pub fn port_block(offsets: &[u16]) -> u16 {
    const BLOCKS: u64 = 1800;
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all_free = |port: &u16| free(*port) && offsets.iter().all(|offset| free(port + offset));
    let first = RandomState::new().hash_one(()) % BLOCKS;
    let ports = (first..first + BLOCKS).filter_map(|block| u16::try_from(10_000 + block % BLOCKS * 10).ok());
    ports.into_iter().find(all_free).expect("some ports are free")
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
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1000)).expect("it was free");
        assert_ne!(port_block(&[1000]), port);
    }
}
