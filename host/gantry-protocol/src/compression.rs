//! Body compression: zlib, LZ4 (frame format) and Zstandard (RocketMQ: CompressionType).

use std::io::{self, Read, Write as _};

use bytes::Bytes;

use crate::sys_flag::{COMPRESSED, COMPRESSION_TYPE_MASK, COMPRESSION_TYPE_SHIFT};

/// Default bound on a decompressed body in bytes: 16 MiB, as much as a frame holds.
pub const MAX_DECOMPRESSED: usize = 16 * 1024 * 1024;

/// Largest window a Zstandard body may ask for, as a power of two: 32 MiB. It is allocated before a byte is read.
const MAX_ZSTD_WINDOW_LOG: u32 = 25;

/// Size in bytes from which producers compress by default (RocketMQ: compressMsgBodyOverHowmuch, 4096).
pub const DEFAULT_THRESHOLD: usize = 4096;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// LZ4, frame format.
    Lz4,
    /// Zstandard.
    Zstd,
    /// zlib: the default, and what type bits of 0 mean.
    #[default]
    Zlib,
}

/// Why a body cannot be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// The sysFlag names a type that does not exist.
    #[error("sysFlag names compression type {0}; known are 0 and 3 (zlib), 1 (LZ4) and 2 (Zstandard)")]
    UnknownType(i32),
    /// The body is not what its type says.
    #[error("body is not valid {kind:?} data: {source}")]
    Corrupt {
        /// The type the sysFlag names.
        kind: CompressionType,
        /// What the decompressor met.
        source: io::Error,
    },
    /// The body is larger than the reader accepts.
    #[error("body decompresses to more than {limit} bytes")]
    TooLarge {
        /// The reader's bound.
        limit: usize,
    },
}

impl CompressionType {
    /// The type bits of a sysFlag, read.
    ///
    /// # Errors
    /// The bits name no known type.
    pub fn of_sys_flag(sys_flag: i32) -> Result<Self, CompressionError> {
        match (sys_flag & COMPRESSION_TYPE_MASK) >> COMPRESSION_TYPE_SHIFT {
            0 | 3 => Ok(Self::Zlib),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            other => Err(CompressionError::UnknownType(other)),
        }
    }

    /// The sysFlag bits that mark a body compressed in this way.
    pub fn sys_flag_bits(self) -> i32 {
        let kind = match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::Zlib => 3,
        };
        COMPRESSED | kind << COMPRESSION_TYPE_SHIFT
    }
}

/// Compresses a body. `level` is that of the type: RocketMQ's producers use 5; LZ4 has none.
///
/// # Errors
/// The compressor failed, which only a level out of its range can cause.
pub fn compress(kind: CompressionType, level: i32, body: &[u8]) -> Result<Bytes, CompressionError> {
    let compressed = match kind {
        CompressionType::Zlib => zlib(level, body),
        CompressionType::Lz4 => lz4(body),
        CompressionType::Zstd => zstd::bulk::compress(body, level),
    };
    compressed.map(Bytes::from).map_err(|source| CompressionError::Corrupt { kind, source })
}

fn zlib(level: i32, body: &[u8]) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::new(u32::try_from(level.clamp(0, 9)).unwrap_or(5));
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::with_capacity(body.len() / 2), level);
    encoder.write_all(body)?;
    encoder.finish()
}

fn lz4(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
    encoder.write_all(body)?;
    encoder.finish().map_err(io::Error::from)
}

/// Decompresses a body to at most `limit` bytes.
///
/// # Errors
/// The data is corrupt, or its plain form is longer than `limit`.
pub fn decompress(kind: CompressionType, body: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    let corrupt = |source| CompressionError::Corrupt { kind, source };
    match kind {
        CompressionType::Zlib => read_bounded(kind, flate2::read::ZlibDecoder::new(body), body.len(), limit),
        CompressionType::Lz4 => {
            read_bounded(kind, lz4_flex::frame::FrameDecoder::new(body), body.len(), limit)
        }
        CompressionType::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(corrupt)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(corrupt)?;
            read_bounded(kind, decoder, body.len(), limit)
        }
    }
}

fn read_bounded(
    kind: CompressionType,
    source: impl Read,
    stored: usize,
    limit: usize,
) -> Result<Bytes, CompressionError> {
    let mut plain = Vec::with_capacity(stored.saturating_mul(4).min(limit));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source
        .take(bound)
        .read_to_end(&mut plain)
        .map_err(|source| CompressionError::Corrupt { kind, source })?;
    if plain.len() > limit {
        return Err(CompressionError::TooLarge { limit });
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [CompressionType; 3] = [CompressionType::Lz4, CompressionType::Zstd, CompressionType::Zlib];

    #[test]
    fn each_type_restores_what_it_compressed() {
        let body = b"line of text\n".repeat(1000);
        for kind in KINDS {
            let compressed = compress(kind, 5, &body).unwrap();
            assert!(compressed.len() < body.len());
            assert_eq!(decompress(kind, &compressed, body.len()).unwrap(), body);
            assert_eq!(CompressionType::of_sys_flag(kind.sys_flag_bits()).unwrap(), kind);
        }
    }

    #[test]
    fn a_body_larger_than_the_bound_is_refused() {
        let body = vec![0u8; 10_000];
        for kind in KINDS {
            let compressed = compress(kind, 5, &body).unwrap();
            let refused = decompress(kind, &compressed, 9_999);
            assert!(matches!(refused, Err(CompressionError::TooLarge { limit: 9_999 })), "{kind:?}");
        }
    }

    #[test]
    fn garbage_and_cut_bodies_are_corrupt() {
        for kind in KINDS {
            let compressed = compress(kind, 5, &b"line of text\n".repeat(1000)).unwrap();
            let cut = &compressed[..compressed.len() / 2];
            assert!(
                matches!(decompress(kind, cut, 1 << 20), Err(CompressionError::Corrupt { .. })),
                "{kind:?}"
            );
            assert!(decompress(kind, b"not compressed at all", 1 << 20).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn a_zstandard_body_that_asks_for_a_huge_window_is_refused() {
        // Magic, no flags, a window of 2^(10 + exponent), one raw last block of one byte.
        let body = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x09, 0, 0, b'x'];
        assert_eq!(decompress(CompressionType::Zstd, &body(10), 100).unwrap(), "x");
        let refused = decompress(CompressionType::Zstd, &body(17), 100);
        assert!(matches!(refused, Err(CompressionError::Corrupt { .. })), "{refused:?}");
    }

    #[test]
    fn the_sys_flags_are_those_of_java() {
        assert_eq!(KINDS.map(CompressionType::sys_flag_bits), [0x101, 0x201, 0x301]);
        assert_eq!(CompressionType::of_sys_flag(0x1).unwrap(), CompressionType::Zlib);
        assert!(matches!(CompressionType::of_sys_flag(0x701), Err(CompressionError::UnknownType(7))));
    }
}
