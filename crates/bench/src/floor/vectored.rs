//! Several pieces with one call.

use std::io::{self, ErrorKind, IoSlice, Write};

/// Writes all, with as few calls as the system needs; how many bytes that were.
pub(super) fn write_all(sink: &mut impl Write, mut parts: &mut [IoSlice<'_>]) -> io::Result<u64> {
    let mut bytes = 0;
    while !parts.is_empty() {
        match sink.write_vectored(parts) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time.
    #[derive(Default)]
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_is_written_in_order_however_little_is_taken() {
        let mut slow = Slow::default();
        let parts = &mut ["one", "", "three", "4"].map(|part| IoSlice::new(part.as_bytes()));
        assert_eq!(write_all(&mut slow, parts).unwrap(), 9);
        assert_eq!(slow.0, b"onethree4");
    }
}
