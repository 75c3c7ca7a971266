//! Request codes that administrators use and no client of messages does (RocketMQ: RequestCode).

use gantry_protocol::RequestCode;

pub(super) const UPDATE_AND_CREATE_TOPIC_LIST: RequestCode = RequestCode(18);
pub(super) const GET_ALL_TOPIC_CONFIG: RequestCode = RequestCode(21);
pub(super) const GET_BROKER_CONFIG: RequestCode = RequestCode(26);
pub(super) const GET_ALL_CONSUMER_OFFSET: RequestCode = RequestCode(43);
pub(super) const GET_PRODUCER_CONNECTION_LIST: RequestCode = RequestCode(204);
pub(super) const GET_KVLIST_BY_NAMESPACE: RequestCode = RequestCode(219);
pub(super) const GET_TOPICS_BY_CLUSTER: RequestCode = RequestCode(224);
pub(super) const UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: RequestCode = RequestCode(225);
pub(super) const QUERY_CONSUME_TIME_SPAN: RequestCode = RequestCode(303);
pub(super) const GET_SYSTEM_TOPIC_LIST_FROM_NS: RequestCode = RequestCode(304);
pub(super) const GET_SYSTEM_TOPIC_LIST_FROM_BROKER: RequestCode = RequestCode(305);
pub(super) const CLEAN_EXPIRED_CONSUMEQUEUE: RequestCode = RequestCode(306);
pub(super) const QUERY_CORRECTION_OFFSET: RequestCode = RequestCode(308);
pub(super) const CLONE_GROUP_OFFSET: RequestCode = RequestCode(314);
pub(super) const VIEW_BROKER_STATS_DATA: RequestCode = RequestCode(315);
pub(super) const CLEAN_UNUSED_TOPIC: RequestCode = RequestCode(316);
pub(super) const GET_BROKER_CONSUME_STATS: RequestCode = RequestCode(317);
pub(super) const GET_ALL_PRODUCER_INFO: RequestCode = RequestCode(328);
pub(super) const DELETE_EXPIRED_COMMITLOG: RequestCode = RequestCode(329);
pub(super) const QUERY_TOPICS_BY_CONSUMER: RequestCode = RequestCode(343);
pub(super) const QUERY_SUBSCRIPTION_BY_CONSUMER: RequestCode = RequestCode(345);
pub(super) const GET_SUBSCRIPTIONGROUP_CONFIG: RequestCode = RequestCode(352);
