//! RocketMQ's layout of a message as the WIT's `packed-listener` has it, put together from a batch's parts: for batches
//! that did not come from a broker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::MessageBatch;

const MAGIC_V1: u32 = 0xDAA3_20A7;
const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Topics longer than this make a record of version 2.
const MAX_V1_TOPIC: usize = 127;
const MAX_LENGTH: usize = 32_767;
const BORN_HOST_V6: u32 = 0x10;
const STORE_HOST_V6: u32 = 0x20;
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Appends the message at `index` to `out`, as if it were stored under `topic`. Properties that no record has room for are
/// left out.
pub(crate) fn put(batch: &(impl MessageBatch + ?Sized), index: usize, topic: &str, out: &mut Vec<u8>) {
    let message = batch.message(index);
    let born_host = host(batch.born_host(index));
    let stored = batch.offset_message_id(index).as_deref().and_then(parse_offset_id);
    let (id_host, physical_offset) = stored.unwrap_or((NOWHERE, 0));
    let store_host = batch.store_host(index).map_or(id_host, |text| host(Some(text)));
    let topic = topic.get(..topic.floor_char_boundary(MAX_LENGTH)).unwrap_or_default();
    let version_2 = topic.len() > MAX_V1_TOPIC;
    let start = out.len();
    put_u32(out, 0);
    put_u32(out, if version_2 { MAGIC_V2 } else { MAGIC_V1 });
    put_u32(out, crc32fast::hash(message.body) & 0x7FFF_FFFF);
    // Queue id and flag.
    put_u64(out, 0);
    put_u64(out, message.queue_offset);
    put_u64(out, physical_offset);
    let bit = |host: SocketAddr, bit| if host.is_ipv6() { bit } else { 0 };
    put_u32(out, bit(born_host, BORN_HOST_V6) | bit(store_host, STORE_HOST_V6));
    put_u64(out, message.born_timestamp);
    put_host(out, born_host);
    put_u64(out, message.store_timestamp);
    put_host(out, store_host);
    put_u32(out, message.reconsume_times);
    // Prepared transaction offset.
    put_u64(out, 0);
    put_u32(out, u32::try_from(message.body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(message.body);
    match u8::try_from(topic.len()) {
        Ok(length) if !version_2 => out.push(length),
        _ => put_u16(out, topic.len()),
    }
    out.extend_from_slice(topic.as_bytes());
    put_properties(batch, index, out);
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&size);
    }
}

fn put_properties(batch: &(impl MessageBatch + ?Sized), index: usize, out: &mut Vec<u8>) {
    let start = out.len();
    put_u16(out, 0);
    let mut pairs = Vec::new();
    batch.properties(index, &mut pairs);
    for (name, value) in pairs {
        if out.len() - start + name.len() + value.len() + 2 <= MAX_LENGTH {
            [name.as_bytes(), &[1], value.as_bytes(), &[2]]
                .iter()
                .for_each(|part| out.extend_from_slice(part));
        }
    }
    let length = u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&length);
    }
}

fn host(text: Option<String>) -> SocketAddr {
    text.and_then(|text| text.parse().ok()).unwrap_or(NOWHERE)
}

/// Store host and commit-log offset of an offset message id: 32 or 56 hexadecimal digits.
fn parse_offset_id(id: &str) -> Option<(SocketAddr, u64)> {
    let (ip, rest) = id.split_at_checked(id.len().checked_sub(24)?)?;
    let (port, offset) = rest.split_at_checked(8)?;
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?)),
        32 => IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(ip, 16).ok()?)),
        _ => return None,
    };
    let port = u16::try_from(u32::from_str_radix(port, 16).ok()?).ok()?;
    Some((SocketAddr::new(ip, port), u64::from_str_radix(offset, 16).ok()?))
}

fn put_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    put_u32(out, host.port().into());
}

fn put_u16(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}
