//! Messages one after the other as plain bytes, for whoever reads them where they lie: the form of the WIT's
//! `packed-listener`. Where they came one after the other, and as they are wanted, nothing is copied.

use bytes::BufMut as _;

use super::ext::MessageExt;
use super::layout::{MAGIC_V1, MAGIC_V2};
use super::record::put_host;
use crate::sys_flag::{COMPRESSED, COMPRESSION_TYPE_MASK};

impl MessageExt {
    /// Whether the record's bytes say all there is: its body is not compressed, and it is neither one of an inner batch
    /// nor at a moved offset.
    pub fn is_plain(&self) -> bool {
        !self.is_compressed() && !self.is_of_inner_batch() && self.is_at_its_offset()
    }

    /// The records of this message and those behind it, up to `total` bytes, where the answer they came in has as many.
    pub fn run(&self, total: usize) -> Option<&[u8]> {
        self.bytes().get(..total)
    }

    /// Whether `next` lies right behind this message in the answer both came in.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        let behind = self.bytes().get(self.stored_size()..).map(<[u8]>::as_ptr);
        behind == Some(next.bytes().as_ptr()) && self.bytes().len() > self.stored_size()
    }

    /// Appends the record of this message to `out` with `body`, which is what it is when inflated, and `reconsume_times`;
    /// its system flag no longer says that it is compressed. The checksum stays that of the body as it was sent.
    pub fn put_plain(&self, body: &[u8], reconsume_times: i32, out: &mut Vec<u8>) {
        let inflated = if self.is_compressed() { COMPRESSED | COMPRESSION_TYPE_MASK } else { 0 };
        let start = out.len();
        // The size, known at the end.
        out.put_u32(0);
        out.put_i32(if self.is_version_2() { MAGIC_V2 } else { MAGIC_V1 });
        out.put_i32(self.body_crc());
        out.put_i32(self.queue_id());
        out.put_i32(self.flag());
        out.put_i64(self.queue_offset());
        out.put_i64(self.physical_offset());
        out.put_i32(self.sys_flag() & !inflated);
        out.put_i64(self.born_timestamp());
        put_host(self.born_host(), out);
        out.put_i64(self.store_timestamp());
        put_host(self.store_host(), out);
        out.put_i32(reconsume_times);
        out.put_i64(self.prepared_transaction_offset());
        put_part(out, &(body.len() as u32).to_be_bytes(), body);
        // Its lengths are those of a record, so they fit.
        let topic = self.topic();
        if self.is_version_2() {
            put_part(out, &(topic.len() as u16).to_be_bytes(), topic.as_bytes());
        } else {
            put_part(out, &[topic.len() as u8], topic.as_bytes());
        }
        let properties = self.properties_bytes();
        put_part(out, &(properties.len() as u16).to_be_bytes(), properties);
        let size = ((out.len() - start) as u32).to_be_bytes();
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&size);
        }
    }
}

fn put_part(out: &mut Vec<u8>, length: &[u8], part: &[u8]) {
    out.extend_from_slice(length);
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::batch::BatchItem;
    use crate::compression::{CompressionType, compress};
    use crate::message::{MessageRecord, decode_all};

    fn answer(records: &[MessageRecord]) -> Vec<MessageExt> {
        let mut bytes = BytesMut::new();
        records.iter().for_each(|record| record.encode(&mut bytes).unwrap());
        decode_all(bytes.freeze()).map(Result::unwrap).collect()
    }

    fn record(body: &'static [u8]) -> MessageRecord {
        MessageRecord { topic: "orders".into(), body: Bytes::from_static(body), ..MessageRecord::default() }
    }

    #[test]
    fn neighbours_are_one_run_of_bytes() {
        let all = answer(&[record(b"a"), record(b"bb"), record(b"ccc")]);
        let [a, b, c] = all.as_slice() else { panic!("three") };
        assert!(a.is_followed_by(b) && b.is_followed_by(c));
        assert!(!a.is_followed_by(c) && !b.is_followed_by(a) && !c.is_followed_by(a));
        let run = a.run(a.stored_size() + b.stored_size()).unwrap();
        assert_eq!(run, [a.record(), b.record()].concat());
        assert_eq!(run.as_ptr(), a.record().as_ptr(), "not a copy");
        assert_eq!(c.run(c.stored_size() + 1), None);
        let other = answer(&[record(b"bb")]);
        assert!(!a.is_followed_by(&other[0]));
    }

    #[test]
    fn a_plain_message_put_anew_is_what_it_was() {
        let v6 = "[2001:db8::1]:10911".parse().unwrap();
        let records = [
            record(b"body"),
            MessageRecord { topic: "t".repeat(200), born_host: v6, ..record(b"") },
            MessageRecord { store_host: v6, properties: "TAGS\u{1}a\u{2}".into(), ..record(b"x") },
        ];
        for message in answer(&records) {
            let mut out = Vec::new();
            message.put_plain(message.stored_body(), message.reconsume_times(), &mut out);
            assert_eq!(out, message.record());
            assert!(message.is_plain());
        }
    }

    #[test]
    fn an_inflated_body_is_no_longer_said_to_be_compressed() {
        for kind in [CompressionType::Lz4, CompressionType::Zstd, CompressionType::Zlib] {
            let body = b"again ".repeat(100);
            let compressed = compress(kind, 3, &body).unwrap();
            let flag = COMPRESSED | kind.sys_flag_bits() | 0x4;
            let stored = MessageRecord { sys_flag: flag, body: compressed, ..record(b"") };
            let message = answer(&[stored]).remove(0);
            assert!(!message.is_plain());
            let mut out = vec![7];
            message.put_plain(&message.body().unwrap(), 3, &mut out);
            let read = MessageExt::decode(Bytes::copy_from_slice(&out[1..])).unwrap();
            assert_eq!((read.sys_flag(), read.reconsume_times()), (0x4, 3));
            assert_eq!((read.stored_body(), read.body_crc()), (&*body, message.body_crc()));
        }
    }

    #[test]
    fn a_message_of_an_inner_batch_stands_alone() {
        let items = ["one", "two"].map(|body| BatchItem {
            flag: 0,
            body: body.as_bytes(),
            properties: b"TAGS\x01a\x02",
        });
        let mut body = BytesMut::new();
        crate::batch::encode(items, &mut body).unwrap();
        let flags = crate::sys_flag::INNER_BATCH | crate::sys_flag::NEED_UNWRAP;
        let stored = MessageRecord { sys_flag: flags, body: body.freeze(), queue_offset: 7, ..record(b"") };
        let inner = answer(&[stored]).remove(0).unwrap_inner_batch().unwrap();
        let mut out = Vec::new();
        for message in &inner {
            assert!(!message.is_plain());
            message.put_plain(message.stored_body(), 0, &mut out);
        }
        let read: Vec<_> = decode_all(out.into()).map(Result::unwrap).collect();
        let said = |message: &MessageExt| {
            (message.queue_offset(), message.stored_body().to_vec(), message.sys_flag())
        };
        assert_eq!(
            read.iter().map(said).collect::<Vec<_>>(),
            [(7, b"one".to_vec(), 0), (8, b"two".to_vec(), 0)]
        );
        assert!(read.iter().all(|message| message.tags() == Some("a")));
    }

    #[test]
    fn a_message_that_is_not_what_its_record_says_is_not_plain() {
        let message = answer(&[record(b"a")]).remove(0);
        assert!(!message.clone().with_offset_delta(5).is_plain());
        let mut out = Vec::new();
        message.with_offset_delta(5).put_plain(b"a", 0, &mut out);
        assert_eq!(MessageExt::decode(out.into()).unwrap().queue_offset(), 5);
    }
}
