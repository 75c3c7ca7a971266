use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use gantry_protocol::LanguageCode;

use crate::filter::{Filter, FilterError};
use crate::server::Peer;
use crate::sync::lock;

/// Who consumes what at the moment (RocketMQ: ConsumerManager, ConsumerGroupInfo). Gone with the broker.
#[derive(Debug)]
pub(crate) struct Groups {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<String, Group>,
    members: usize,
}

#[derive(Debug, Default)]
struct Group {
    members: HashMap<u64, Member>,
    subscriptions: BTreeMap<String, Subscription>,
    kind: GroupKind,
    /// That of the last heartbeat, 0 where it was of the first form (RocketMQ: consumerGroupHeartbeatTable).
    fingerprint: Option<i64>,
}

#[derive(Clone, Debug)]
struct Member {
    client_id: String,
    language: LanguageCode,
    version: i32,
    seen_ms: i64,
    peer: Arc<Peer>,
}

/// How a group consumes: the words of the heartbeat, in upper case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupKind {
    pub(crate) consume_type: String,
    pub(crate) message_model: String,
    pub(crate) consume_from_where: String,
}

/// One topic of a group's subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) topic: String,
    /// `TAG` or `SQL92`.
    pub(crate) expression_type: String,
    pub(crate) expression: String,
    pub(crate) version: i64,
    /// An error when the expression is none.
    pub(crate) filter: Result<Filter, FilterError>,
}

/// One member's heartbeat for one group.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) group: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) language: LanguageCode,
    pub(crate) version: i32,
    pub(crate) kind: GroupKind,
    /// What stands for all that the heartbeat says; 0 in one of the first form.
    pub(crate) fingerprint: i64,
    /// `None` when the heartbeat says that nothing changed (withoutSub).
    pub(crate) subscriptions: Option<Vec<Subscription>>,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Members or subscribed topics are others now: the group is told.
    pub(crate) notify: bool,
    /// A subscription has another version: pulls that wait for it may go on.
    pub(crate) subscribed: bool,
    /// The group's last heartbeat had another fingerprint, or the broker has no subscriptions of this group to stand in for
    /// the ones left out: the client is to send them again.
    pub(crate) fingerprint: bool,
    /// The table of members is full.
    pub(crate) full: bool,
}

/// A member, for whoever lists them.
#[derive(Clone, Debug)]
pub(crate) struct MemberInfo {
    pub(crate) client_id: String,
    pub(crate) language: LanguageCode,
    pub(crate) version: i32,
    pub(crate) peer: Arc<Peer>,
}

/// A group at one moment.
#[derive(Clone, Debug)]
pub(crate) struct GroupView {
    pub(crate) kind: GroupKind,
    pub(crate) members: Vec<MemberInfo>,
    pub(crate) subscriptions: Vec<Subscription>,
}

impl GroupKind {
    pub(crate) fn is_broadcasting(&self) -> bool {
        self.message_model == "BROADCASTING"
    }
}

impl Groups {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Mutex::default(), limit }
    }

    /// Takes a heartbeat in.
    pub(crate) fn register(&self, peer: &Arc<Peer>, registration: Registration<'_>, now_ms: i64) -> Change {
        let mut table = lock(&self.table);
        let room = table.members < self.limit;
        let group = table.groups.entry(registration.group.to_owned()).or_default();
        let mut change = Change::default();
        match group.members.get_mut(&peer.id) {
            Some(member) => {
                member.seen_ms = now_ms;
                registration.client_id.clone_into(&mut member.client_id);
            }
            None if !room => {
                return Change { full: true, ..change };
            }
            None => {
                group.members.insert(peer.id, member(peer, &registration, now_ms));
                change.notify = true;
            }
        }
        group.kind = registration.kind;
        let before = group.fingerprint.replace(registration.fingerprint);
        change.fingerprint = before.is_some_and(|before| before != registration.fingerprint);
        match registration.subscriptions {
            Some(subscriptions) => group.subscribe(subscriptions, &mut change),
            None => change.fingerprint |= group.subscriptions.is_empty(),
        }
        if change.notify {
            table.members = table.groups.values().map(|group| group.members.len()).sum();
        }
        change
    }

    /// A member leaves one group; `true` when it was one.
    pub(crate) fn leave(&self, peer: u64, group: &str) -> bool {
        lock(&self.table).leave(peer, group)
    }

    /// A connection ended: its groups, which are to be told.
    pub(crate) fn leave_all(&self, peer: u64) -> Vec<String> {
        let mut table = lock(&self.table);
        let mut left: Vec<String> = table.groups.keys().cloned().collect();
        left.retain(|group| table.leave(peer, group));
        left
    }

    /// Connections whose last heartbeat for some group is older than `before_ms`.
    pub(crate) fn silent_since(&self, before_ms: i64) -> Vec<Arc<Peer>> {
        let table = lock(&self.table);
        let members = table.groups.values().flat_map(|group| group.members.values());
        members.filter(|member| member.seen_ms < before_ms).map(|member| Arc::clone(&member.peer)).collect()
    }

    /// Connections of a group, unless it is a broadcasting one, whose members need not know of each other.
    pub(crate) fn to_notify(&self, group: &str) -> Vec<Arc<Peer>> {
        let table = lock(&self.table);
        match table.groups.get(group) {
            Some(group) if !group.kind.is_broadcasting() => {
                group.members.values().map(|member| Arc::clone(&member.peer)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Client ids of a group.
    pub(crate) fn client_ids(&self, group: &str) -> Vec<String> {
        let table = lock(&self.table);
        let Some(group) = table.groups.get(group) else { return Vec::new() };
        let mut ids: Vec<String> = group.members.values().map(|member| member.client_id.clone()).collect();
        ids.sort_unstable();
        // A client that reconnected may for a moment be there twice; twice in the list it would spoil the allocation.
        ids.dedup();
        ids
    }

    /// The subscription a pull goes by. The outer `None`: no such group.
    pub(crate) fn subscription(&self, group: &str, topic: &str) -> Option<Option<Subscription>> {
        let table = lock(&self.table);
        table.groups.get(group).map(|group| group.subscriptions.get(topic).cloned())
    }

    /// Whether the group has members.
    pub(crate) fn is_online(&self, group: &str) -> bool {
        lock(&self.table).groups.contains_key(group)
    }

    /// The group as it is now.
    pub(crate) fn view(&self, group: &str) -> Option<GroupView> {
        let table = lock(&self.table);
        let group = table.groups.get(group)?;
        let info = |member: &Member| MemberInfo {
            client_id: member.client_id.clone(),
            language: member.language,
            version: member.version,
            peer: Arc::clone(&member.peer),
        };
        Some(GroupView {
            kind: group.kind.clone(),
            members: group.members.values().map(info).collect(),
            subscriptions: group.subscriptions.values().cloned().collect(),
        })
    }

    /// Names of groups that subscribe to a topic, sorted.
    pub(crate) fn subscribers_of(&self, topic: &str) -> Vec<String> {
        let table = lock(&self.table);
        let subscribes = |(_, group): &(&String, &Group)| group.subscriptions.contains_key(topic);
        let mut names: Vec<String> =
            table.groups.iter().filter(subscribes).map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }
}

impl Table {
    fn leave(&mut self, peer: u64, name: &str) -> bool {
        let Some(group) = self.groups.get_mut(name) else { return false };
        if group.members.remove(&peer).is_none() {
            return false;
        }
        self.members = self.members.saturating_sub(1);
        if group.members.is_empty() {
            self.groups.remove(name);
        }
        true
    }
}

impl Group {
    /// Replaces the subscriptions topic by topic: a newer version wins, a topic left out is dropped.
    fn subscribe(&mut self, subscriptions: Vec<Subscription>, change: &mut Change) {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| subscriptions.iter().any(|new| new.topic == *topic));
        change.notify |= self.subscriptions.len() != before;
        for new in subscriptions {
            match self.subscriptions.get_mut(&new.topic) {
                Some(known) if new.version > known.version => {
                    *known = new;
                    change.subscribed = true;
                }
                Some(_) => {}
                None => {
                    self.subscriptions.insert(new.topic.clone(), new);
                    change.notify = true;
                    change.subscribed = true;
                }
            }
        }
    }
}

fn member(peer: &Arc<Peer>, registration: &Registration<'_>, now_ms: i64) -> Member {
    Member {
        client_id: registration.client_id.to_owned(),
        language: registration.language,
        version: registration.version,
        seen_ms: now_ms,
        peer: Arc::clone(peer),
    }
}
