//! Bits of a topic's permission (RocketMQ: PermName).

/// The topic has priority.
pub const PRIORITY: i32 = 0x8;
/// Consumers may read.
pub const READ: i32 = 0x4;
/// Producers may write.
pub const WRITE: i32 = 0x2;
/// Topics made from this one inherit its settings.
pub const INHERIT: i32 = 0x1;

/// Whether consumers may read.
pub fn is_readable(perm: i32) -> bool {
    perm & READ == READ
}

/// Whether producers may write.
pub fn is_writable(perm: i32) -> bool {
    perm & WRITE == WRITE
}

/// Whether topics made from this one inherit its settings.
pub fn is_inherited(perm: i32) -> bool {
    perm & INHERIT == INHERIT
}
