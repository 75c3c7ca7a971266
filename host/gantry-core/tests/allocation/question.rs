//! The generator of questions, line by line that of `tests/java/AllocateCases.java`.

use std::collections::BTreeSet;
use std::fmt;

use gantry_core::AllocateMessageQueueStrategy;
use gantry_core::allocate::{
    AllocateError, AllocateMachineRoomNearby, AllocateMessageQueueAveragely,
    AllocateMessageQueueAveragelyByCircle, AllocateMessageQueueByConfig, AllocateMessageQueueByMachineRoom,
    AllocateMessageQueueConsistentHash, RoomBeforeAt,
};
use gantry_protocol::MessageQueue;
use md5::{Digest as _, Md5};

const TOPICS: [&str; 3] = ["orders", "%RETRY%shipping", "a_topic-with_a-longer-name"];
const BROKERS: [&str; 5] = ["idc2@", "@broker-b", "idc1@broker@c", "idc3@broker-d@", "plain"];

/// The first 32 bits of a text's MD5.
pub(crate) fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 33) as usize % bound
    }
}

/// A question to every strategy.
pub(crate) struct Question {
    queues: Vec<MessageQueue>,
    members: Vec<String>,
    rooms: BTreeSet<String>,
    list: Vec<MessageQueue>,
    own: String,
}

impl Question {
    pub(crate) fn new(number: u64) -> Self {
        let mut random = Random(number);
        let queues = queues(&mut random);
        let members = members(&mut random);
        let rooms = (1..=4).filter(|_| random.below(2) == 0).map(|room| format!("idc{room}")).collect();
        let mut list: Vec<_> = queues.iter().rev().filter(|_| random.below(3) == 0).cloned().collect();
        if random.below(10) == 0 {
            list.push(MessageQueue::new("another", "broker-z", 7));
        }
        let which = random.below(20);
        let some = match members.len() {
            0 => "idc1@nobody".to_owned(),
            count => members[random.below(count)].clone(),
        };
        let own = match which {
            0 => String::new(),
            1 | 2 => "idc1@stranger".to_owned(),
            _ => some,
        };
        Self { queues, members, rooms, list, own }
    }

    /// The strategies, in the order of the columns.
    pub(crate) fn strategies(&self) -> [Box<dyn AllocateMessageQueueStrategy>; 8] {
        [
            Box::new(AllocateMessageQueueAveragely),
            Box::new(AllocateMessageQueueAveragelyByCircle),
            Box::new(AllocateMessageQueueByConfig::new(self.list.clone())),
            Box::new(AllocateMessageQueueByMachineRoom::new(self.rooms.clone())),
            Box::new(AllocateMessageQueueConsistentHash::default()),
            nearby(AllocateMessageQueueAveragely),
            nearby(AllocateMessageQueueAveragelyByCircle),
            nearby(AllocateMessageQueueConsistentHash::default()),
        ]
    }

    /// A strategy's answer as the file has it.
    pub(crate) fn ask(&self, strategy: &dyn AllocateMessageQueueStrategy) -> String {
        match strategy.allocate("group", &self.own, &self.queues, &self.members) {
            Ok(own) => self.positions(&own),
            Err(AllocateError::NoClientId) => "!client".to_owned(),
            Err(AllocateError::NoQueues) => "!queues".to_owned(),
            Err(AllocateError::NotAMember { members: 0, .. }) => "!members".to_owned(),
            // Java's classes log this and answer with nothing.
            Err(AllocateError::NotAMember { client_id, members }) => {
                assert_eq!((&client_id, members), (&self.own, self.members.len()));
                assert!(!self.members.contains(&client_id), "{client_id} is a member");
                String::new()
            }
            Err(AllocateError::NoRoom { .. }) => "!room".to_owned(),
            Err(AllocateError::Unsound(reason)) => format!("!{reason}"),
        }
    }

    fn positions(&self, answer: &[MessageQueue]) -> String {
        let position =
            |mq| self.queues.iter().position(|queue| queue == mq).map_or(-1, |position| position as i32);
        answer.iter().map(|mq| position(mq).to_string()).collect::<Vec<_>>().join(" ")
    }
}

fn nearby(inner: impl AllocateMessageQueueStrategy + 'static) -> Box<dyn AllocateMessageQueueStrategy> {
    Box::new(AllocateMachineRoomNearby::new(Box::new(inner), Box::new(RoomBeforeAt)))
}

fn queues(random: &mut Random) -> Vec<MessageQueue> {
    let topic = TOPICS[random.below(TOPICS.len())];
    let count = if random.below(40) == 0 { 0 } else { 1 + random.below(64) };
    let brokers = 1 + random.below(5);
    let style = random.below(4);
    let mut next = vec![0; brokers];
    let mut queues: Vec<_> = (0..count)
        .map(|_| {
            let broker = random.below(brokers);
            let name = match style {
                0 => format!("broker-{broker}"),
                1 => BROKERS[broker].to_owned(),
                _ => format!("idc{}@broker-{broker}", 1 + broker),
            };
            next[broker] += 1;
            MessageQueue::new(topic, name, next[broker] - 1)
        })
        .collect();
    queues.sort();
    queues
}

fn members(random: &mut Random) -> Vec<String> {
    let count = if random.below(40) == 0 { 0 } else { 1 + random.below(40) };
    let style = random.below(8);
    let mut members: Vec<_> = (0..count)
        .map(|i| {
            let (a, b) = (random.below(256), random.below(256));
            let (pid, nanos) = (1000 + random.below(60_000), 100_000_000 + random.below(900_000_000));
            match style {
                0 => format!("10.0.{a}.{b}@{pid}#{nanos}"),
                1 => format!("worker-{i}"),
                _ => format!("idc{}@worker-{}", 1 + random.below(4), random.below(100)),
            }
        })
        .collect();
    members.sort();
    members
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> =
            self.queues.iter().map(|mq| format!("{}/{}/{}", mq.topic, mq.broker_name, mq.queue_id)).collect();
        let rooms: Vec<_> = self.rooms.iter().map(String::as_str).collect();
        let (rooms, list) = (rooms.join(","), self.positions(&self.list));
        let (members, queues) = (self.members.join(","), queues.join(","));
        write!(f, "own {}; rooms {rooms}; list {list}; members {members}; queues {queues}", self.own)
    }
}
