//! Bits of a message's sysFlag (RocketMQ: MessageSysFlag) and of a pull request's (RocketMQ: PullSysFlag).

/// The body is compressed.
pub const COMPRESSED: i32 = 0x1;
/// The message has several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// The two bits of the transaction type.
pub const TRANSACTION_MASK: i32 = 0xC;
/// Transaction type: none.
pub const TRANSACTION_NOT: i32 = 0;
/// Transaction type: prepared, not visible to consumers.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// Transaction type: committed.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// Transaction type: rolled back.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host is an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// The record is an inner batch that readers must unwrap.
pub const NEED_UNWRAP: i32 = 0x40;
/// The body is a sequence of batch items.
pub const INNER_BATCH: i32 = 0x80;
/// The three bits of the compression type.
pub const COMPRESSION_TYPE_MASK: i32 = 0x700;
/// How far the compression type is shifted to the left.
pub const COMPRESSION_TYPE_SHIFT: u32 = 8;

/// Pull: the request commits the offset it carries.
pub const PULL_COMMIT_OFFSET: i32 = 0x1;
/// Pull: the broker may hold the request until a message arrives.
pub const PULL_SUSPEND: i32 = 0x2;
/// Pull: the subscription is in the request.
pub const PULL_SUBSCRIPTION: i32 = 0x4;
/// Pull: the subscription filters by class.
pub const PULL_CLASS_FILTER: i32 = 0x8;
/// Pull: the request is that of a lite pull consumer.
pub const PULL_LITE: i32 = 0x10;
