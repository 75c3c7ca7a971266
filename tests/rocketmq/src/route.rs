//! The one question that tells whether a broker is registered: does the name server know a route to its own topic?

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(15);
const GET_ROUTEINFO_BY_TOPIC: u32 = 105;
const LARGEST_FRAME: usize = 1 << 20;

/// Whether the name server has a route for `topic`. Each broker registers a topic of its own name.
pub(crate) fn known(name_server: SocketAddr, topic: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&name_server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&request(topic))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(4..=LARGEST_FRAME).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(code(&frame)? == 0)
}

/// One RemotingCommand: total length, header length (its top byte 0 means JSON), header.
fn request(topic: &str) -> Vec<u8> {
    let header = serde_json::json!({
        "code": GET_ROUTEINFO_BY_TOPIC, "flag": 0, "language": "JAVA", "opaque": 1, "version": 513,
        "serializeTypeCurrentRPC": "JSON", "extFields": { "topic": topic },
    });
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    [&(length + 4).to_be_bytes(), &length.to_be_bytes(), header.as_slice()].concat()
}

fn code(frame: &[u8]) -> io::Result<i64> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "an answer without a JSON header");
    let (length, rest) = frame.split_first_chunk::<4>().ok_or_else(bad)?;
    let length = usize::try_from(u32::from_be_bytes(*length) & 0x00FF_FFFF).map_err(|_| bad())?;
    let header: serde_json::Value = serde_json::from_slice(rest.get(..length).ok_or_else(bad)?)?;
    header.get("code").and_then(serde_json::Value::as_i64).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_header_and_nothing_else() {
        let header = br#"{"code":17,"flag":1}"#;
        let mut frame = u32::try_from(header.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(header);
        frame.extend_from_slice(b"{\"code\":0}");
        assert_eq!(code(&frame).unwrap(), 17);
        assert!(code(&frame[..8]).is_err());
        assert!(code(&[]).is_err());
    }
}
