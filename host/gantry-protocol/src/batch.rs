//! Batch items: what the body of SEND_BATCH_MESSAGE and of an inner batch is made of
//! (RocketMQ: MessageDecoder.encodeMessages).

use bytes::{BufMut as _, BytesMut};

use crate::properties::MAX_PROPERTIES;
use crate::reader::Reader;

/// Bytes of an item without body and properties.
const FIXED: usize = 4 + 4 + 4 + 4 + 4 + 2;

/// One message of a batch; topic and queue are the batch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchItem<'a> {
    /// The sender's flag.
    pub flag: i32,
    /// The message body; batches are never compressed.
    pub body: &'a [u8],
    /// The properties text, as in [`crate::properties`]. Not necessarily UTF-8 when a foreign client sent it.
    pub properties: &'a [u8],
}

/// An item that breaks the layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The body or the properties do not fit their length fields.
    #[error("{part} of {length} bytes does not fit a batch item")]
    TooLong {
        /// `body` or `properties`.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The lengths inside the item do not add up.
    #[error("batch item at byte {at}: its lengths do not fit the {available} bytes that are there")]
    Malformed {
        /// Where the item starts.
        at: usize,
        /// Bytes from there to the end.
        available: usize,
    },
}

/// Appends the items to `out`.
///
/// # Errors
/// A body or properties text is too long for its length field; `out` then holds the items before it.
pub fn encode<'a>(
    items: impl IntoIterator<Item = BatchItem<'a>>,
    out: &mut BytesMut,
) -> Result<(), BatchError> {
    items.into_iter().try_for_each(|item| encode_item(item, out))
}

fn encode_item(item: BatchItem<'_>, out: &mut BytesMut) -> Result<(), BatchError> {
    let too_long = |part, length| BatchError::TooLong { part, length };
    let total = FIXED + item.body.len() + item.properties.len();
    let total = i32::try_from(total).map_err(|_| too_long("body", item.body.len()))?;
    let body = i32::try_from(item.body.len()).map_err(|_| too_long("body", item.body.len()))?;
    let properties = i16::try_from(item.properties.len());
    let properties = properties.map_err(|_| too_long("properties", item.properties.len()))?;
    out.reserve(FIXED + item.body.len() + item.properties.len());
    out.put_i32(total);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(item.flag);
    out.put_i32(body);
    out.extend_from_slice(item.body);
    out.put_i16(properties);
    out.extend_from_slice(item.properties);
    Ok(())
}

/// Where one item's parts lie in the batch body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemLayout {
    pub(crate) flag: i32,
    pub(crate) body: (usize, usize),
    pub(crate) properties: (usize, usize),
    pub(crate) end: usize,
}

/// Finds the parts of the item at `at`.
pub(crate) fn layout(batch: &[u8], at: usize) -> Result<ItemLayout, BatchError> {
    let item = batch.get(at..).unwrap_or_default();
    layout_of(item, at).ok_or(BatchError::Malformed { at, available: item.len() })
}

fn layout_of(item: &[u8], at: usize) -> Option<ItemLayout> {
    let mut reader = Reader::new(item);
    let total = usize::try_from(reader.i32()?).ok()?;
    reader.take(8)?;
    let flag = reader.i32()?;
    let body = usize::try_from(reader.i32()?).ok()?;
    reader.take(body)?;
    let properties = usize::try_from(reader.i16()?).ok()?;
    reader.take(properties)?;
    let body_at = at + 20;
    let properties_at = body_at + body + 2;
    (total == FIXED + body + properties).then_some(ItemLayout {
        flag,
        body: (body_at, body_at + body),
        properties: (properties_at, properties_at + properties),
        end: at + total,
    })
}

/// Walks the items of a batch body. Ends after the first error.
pub fn decode(batch: &[u8]) -> impl Iterator<Item = Result<BatchItem<'_>, BatchError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= batch.len() {
            return None;
        }
        let found = layout(batch, at);
        at = found.as_ref().map_or(batch.len(), |layout| layout.end);
        let part = |(begin, end): (usize, usize)| batch.get(begin..end).unwrap_or_default();
        Some(found.map(|layout| BatchItem {
            flag: layout.flag,
            body: part(layout.body),
            properties: part(layout.properties),
        }))
    })
}

/// Longest properties text of an item, in bytes.
pub const MAX_ITEM_PROPERTIES: usize = MAX_PROPERTIES;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(body: &'static str, properties: &'static str) -> BatchItem<'static> {
        BatchItem { flag: 7, body: body.as_bytes(), properties: properties.as_bytes() }
    }

    #[test]
    fn items_come_back_in_order() {
        let items = [item("one", "a\u{1}1\u{2}"), item("", ""), item("three", "")];
        let mut out = BytesMut::new();
        encode(items, &mut out).unwrap();
        let decoded: Vec<_> = decode(&out).collect::<Result<_, _>>().unwrap();
        assert_eq!(decoded, items);
    }

    #[test]
    fn a_cut_item_is_an_error_and_ends_the_walk() {
        let mut out = BytesMut::new();
        encode([item("one", ""), item("two", "")], &mut out).unwrap();
        out.truncate(out.len() - 1);
        let results: Vec<_> = decode(&out).collect();
        assert_eq!(results.len(), 2);
        assert_eq!(results[1], Err(BatchError::Malformed { at: 25, available: 24 }));
    }

    #[test]
    fn properties_longer_than_their_length_field_are_refused() {
        let item = BatchItem { properties: &[b'a'; 32_768], ..BatchItem::default() };
        let refused = encode([item], &mut BytesMut::new());
        assert_eq!(refused, Err(BatchError::TooLong { part: "properties", length: 32_768 }));
    }
}
