use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gantry_protocol::LanguageCode;

use super::groups::MemberInfo;
use crate::server::Peer;
use crate::sync::lock;

/// Who produces at the moment (RocketMQ: ProducerManager): whom to ask about transactions, and whom to bring replies.
/// Gone with the broker.
#[derive(Debug)]
pub(crate) struct Producers {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<String, HashMap<u64, Producer>>,
    count: usize,
    /// Turns from one member of a group to the next.
    turn: usize,
}

#[derive(Debug)]
struct Producer {
    info: MemberInfo,
    seen_ms: i64,
}

/// What a producer says of itself.
#[derive(Debug)]
pub(crate) struct ProducerClient<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) language: LanguageCode,
    pub(crate) version: i32,
}

impl Producers {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Mutex::default(), limit }
    }

    /// Takes a heartbeat in; `false` when the table is full.
    pub(crate) fn register(
        &self,
        peer: &Arc<Peer>,
        group: &str,
        client: &ProducerClient<'_>,
        now_ms: i64,
    ) -> bool {
        let mut table = lock(&self.table);
        let known = table.groups.get_mut(group).and_then(|members| members.get_mut(&peer.id));
        if let Some(known) = known {
            known.seen_ms = now_ms;
            client.client_id.clone_into(&mut known.info.client_id);
            return true;
        }
        if table.count >= self.limit {
            return false;
        }
        let info = MemberInfo {
            client_id: client.client_id.to_owned(),
            language: client.language,
            version: client.version,
            peer: Arc::clone(peer),
        };
        let members = table.groups.entry(group.to_owned()).or_default();
        members.insert(peer.id, Producer { info, seen_ms: now_ms });
        table.count += 1;
        true
    }

    /// A producer leaves one group.
    pub(crate) fn leave(&self, peer: u64, group: &str) {
        lock(&self.table).drop_where(|name, id, _| name == group && id == peer);
    }

    /// A connection ended.
    pub(crate) fn leave_all(&self, peer: u64) {
        lock(&self.table).drop_where(|_, id, _| id == peer);
    }

    /// Forgets producers whose last heartbeat is older than `before_ms`.
    pub(crate) fn sweep(&self, before_ms: i64) {
        lock(&self.table).drop_where(|_, _, producer| producer.seen_ms < before_ms);
    }

    /// Some member of the group, another one each time.
    pub(crate) fn any_of(&self, group: &str) -> Option<Arc<Peer>> {
        let mut table = lock(&self.table);
        table.turn = table.turn.wrapping_add(1);
        let turn = table.turn;
        let members = table.groups.get(group)?;
        let mut ids: Vec<u64> = members.keys().copied().collect();
        ids.sort_unstable();
        let id = ids.get(turn.checked_rem(ids.len())?)?;
        members.get(id).map(|producer| Arc::clone(&producer.info.peer))
    }

    /// The client of this id, in whatever group.
    pub(crate) fn client(&self, client_id: &str) -> Option<Arc<Peer>> {
        let table = lock(&self.table);
        let mut producers = table.groups.values().flat_map(HashMap::values);
        let found = producers.find(|producer| producer.info.client_id == client_id)?;
        Some(Arc::clone(&found.info.peer))
    }

    /// The members of a group, by client id.
    pub(crate) fn members(&self, group: &str) -> Vec<MemberInfo> {
        let table = lock(&self.table);
        let members = table.groups.get(group).into_iter().flat_map(HashMap::values);
        let mut members: Vec<MemberInfo> = members.map(|producer| producer.info.clone()).collect();
        members.sort_unstable_by(|one, other| one.client_id.cmp(&other.client_id));
        members
    }

    /// The groups, sorted.
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut names: Vec<String> = lock(&self.table).groups.keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

impl Table {
    fn drop_where(&mut self, unwanted: impl Fn(&str, u64, &Producer) -> bool) {
        self.groups.retain(|name, members| {
            members.retain(|id, producer| !unwanted(name, *id, producer));
            !members.is_empty()
        });
        self.count = self.groups.values().map(HashMap::len).sum();
    }
}
