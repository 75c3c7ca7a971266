//! Protocol versions that peers treat differently (RocketMQ: MQVersion ordinals).

/// 3.0.7: older clients cannot have their offsets reset.
pub const V3_0_7: i32 = 28;
/// 3.4.9: for older clients brokers ignore the maximum of reconsume times in CONSUMER_SEND_MSG_BACK.
pub const V3_4_9: i32 = 121;
/// 4.1.0: older brokers do not know SQL92 subscriptions.
pub const V4_1_0: i32 = 232;
/// 4.9.4: from here on name servers answer routes in standard JSON.
pub const V4_9_4: i32 = 401;
/// 5.0.0.
pub const V5_0_0: i32 = 413;
/// 5.5.0: what this crate was checked against.
pub const V5_5_0: i32 = 513;
