//! Free ports on loopback.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// How often to try: each try that fails met a port in use.
const TRIES: usize = 200;

/// A port that is free now.
pub(crate) fn one() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

/// A port for a broker: free, and so are the two it takes beside it, two below (the fast listener) and one above
/// (high availability).
pub(crate) fn broker() -> io::Result<u16> {
    for _ in 0..TRIES {
        let port = one()?;
        let neighbours = [port.checked_sub(2), Some(port), port.checked_add(1)];
        let free =
            |port: Option<u16>| port.and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        let held: Vec<_> = neighbours.into_iter().map(free).collect();
        if held.iter().all(Option::is_some) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no three free ports close together"))
}
