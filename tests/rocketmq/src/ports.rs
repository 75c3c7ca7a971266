//! Free ports on loopback.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// How often to try: each try that fails met a port in use.
const TRIES: usize = 200;
/// The lowest port taken.
const LOWEST: u16 = 12_000;
/// Where the ports begin that Linux gives to who names none, unless it is told otherwise.
const EPHEMERAL: u16 = 32_768;

/// A port that is free now. The system gives it to nobody who does not name it, so that a server that was killed finds it
/// free when it is started again.
pub(crate) fn one() -> io::Result<u16> {
    free_beside([0])
}

/// A port for a broker: free, and so are the two it takes beside it, two below (the fast listener) and one above
/// (high availability).
pub(crate) fn broker() -> io::Result<u16> {
    free_beside([0, -2, 1])
}

/// A port that is free together with those at these distances from it.
fn free_beside<const N: usize>(distances: [i16; N]) -> io::Result<u16> {
    let end = ephemeral().max(LOWEST + 100);
    for _ in 0..TRIES {
        let chance = RandomState::new().build_hasher().finish() % u64::from(end - LOWEST - 4);
        let port = LOWEST + 2 + u16::try_from(chance).unwrap_or_default();
        let held = distances
            .map(|distance| TcpListener::bind((Ipv4Addr::LOCALHOST, port.saturating_add_signed(distance))));
        if held.iter().all(Result::is_ok) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free ports close together"))
}

/// The first port that the system gives by itself.
fn ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(EPHEMERAL)
}
