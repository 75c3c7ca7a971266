//! What the members ask for, what happens to it on its way, and what comes back.

use std::time::Duration;

use gantry_core::*;
use gantry_protocol::{MessageExt, MessageQueue, ResponseCode, names};

use super::broker::{GROUP, Retry, uid_of};
use super::member::Running;
use super::{Answers, World, always_wanted, ms};

#[derive(Debug)]
pub(super) enum Request {
    Heartbeat,
    Members(String),
    Offset(OffsetQueryId, MessageQueue, OffsetKind),
    Pull(PullRequest),
    SendBack(SendBackRequest),
    Persist(PersistId, MessageQueue, i64, PersistMode),
    Lock(LockRequest),
    Unlock(UnlockRequest),
    Unregister,
}

#[derive(Debug)]
pub(super) enum OffsetKind {
    Stored,
    Max,
    AtOrAfter,
}

#[derive(Debug)]
pub(super) enum Input {
    Route(String, Route),
    Heartbeat(HeartbeatOutcome),
    Members(String, Option<Vec<String>>),
    MembersChanged,
    Offset(OffsetQueryId, OffsetAnswer),
    Pulled(PullId, PullOutcome),
    Consumed(BatchId),
    SentBack(SendBackId, Result<(), String>),
    Persisted(PersistId, Result<(), String>),
    Locked(LockId, Result<Vec<MessageQueue>, LockFailure>),
    Unlocked(UnlockId, Result<(), String>),
    Allocated(AllocateId, Result<Vec<(String, Vec<MessageQueue>)>, String>),
}

#[derive(Debug)]
pub(super) enum Step {
    AtNameServer(usize, String),
    AtBroker(usize, Request),
    /// A broker's threads for pulls come to one, later than its threads for offsets and locks come to what was sent after it.
    PullTakenUp(usize, PullId),
    HoldEnds(usize, PullId),
    Input(usize, Input),
    RetryDue(Retry),
    MemberExpires(String),
    ComesBack(usize),
}

impl World {
    // What the members ask for.

    pub(super) fn take_actions(&mut self, id: usize) {
        let mut taken = 0;
        while let Some(action) = {
            let now = self.now;
            self.members.get_mut(&id).and_then(|member| member.group.poll_action(now))
        } {
            taken += 1;
            assert!(taken < 10_000, "endless actions, the last {action:?}");
            self.take_action(id, action);
        }
        let Some(member) = self.members.get(&id) else { return };
        member.check_bounds(self.now);
        let late = member.terminated_by.is_some_and(|by| self.now > by) && member.terminated.is_none();
        assert!(
            !late,
            "{} did not end in time: {:?}",
            member.client_id,
            member.group.queues(self.now).collect::<Vec<_>>()
        );
        assert!(
            member.group.poll_timeout().is_none_or(|next| next > self.now),
            "a timer is due and nothing comes"
        );
    }

    fn take_action(&mut self, id: usize, action: Action) {
        let now = self.now;
        let member = self.members.get_mut(&id).unwrap();
        assert!(member.terminated.is_none(), "after its end a group asks for nothing: {action:?}");
        match action {
            Action::RefreshRoute { topic } => {
                let when = now + self.latency();
                self.at(when, Step::AtNameServer(id, topic.to_string()));
            }
            Action::Heartbeat(_) => self.ask_broker(id, Request::Heartbeat),
            Action::QueryMembers { topic } => self.ask_broker(id, Request::Members(topic.to_string())),
            Action::QueryOffset { id: query, mq } => {
                self.ask_broker(id, Request::Offset(query, mq, OffsetKind::Stored));
            }
            Action::QueryMaxOffset { id: query, mq } => {
                self.ask_broker(id, Request::Offset(query, mq, OffsetKind::Max));
            }
            Action::SearchOffset { id: query, mq, .. } => {
                self.ask_broker(id, Request::Offset(query, mq, OffsetKind::AtOrAfter));
            }
            Action::Pull(request) => {
                member.pulls(request.id, &request.mq);
                if let Some(offset) = request.commit_offset {
                    self.check_commit(&request.mq, offset);
                }
                self.ask_broker(id, Request::Pull(request));
            }
            Action::Consume(batch) => {
                member.given(self.variant, &batch);
                self.check_owner(id, &batch);
                self.check_order(&batch);
                let took = Duration::from_millis(self.random.u64(0..=self.slowest.as_millis() as u64));
                self.at(now + took, Step::Input(id, Input::Consumed(batch.id)));
            }
            Action::SendBack(request) => {
                member.send_backs += 1;
                self.ask_broker(id, Request::SendBack(request));
            }
            Action::PersistOffset { id: persist, mq, offset, mode } => {
                self.check_commit(&mq, offset);
                self.ask_broker(id, Request::Persist(persist, mq, offset, mode));
            }
            Action::Lock(request) => self.ask_broker(id, Request::Lock(request)),
            Action::Unlock(request) => self.ask_broker(id, Request::Unlock(request)),
            Action::Allocate(question) => {
                let answers = self.allocate(&question);
                self.reply(id, Input::Allocated(question.id, answers));
            }
            Action::QueryAssignment { .. }
            | Action::Pop(_)
            | Action::Ack(_)
            | Action::ChangeInvisibleTime(_) => {
                panic!("a group that pulls asks for no such thing: {action:?}")
            }
            Action::Journal(journal) => member.keep(journal),
            Action::Event(event) => {
                member.note(&event);
                let elapsed = self.elapsed();
                self.events.push((elapsed, event));
            }
            Action::Unregister => self.ask_broker(id, Request::Unregister),
            Action::Terminated(report) => {
                member.terminated = Some(report);
                // The host closes its connections, which brokers notice.
                let client_id = member.client_id.clone();
                self.at(now + ms(500), Step::MemberExpires(client_id));
            }
        }
    }

    fn ask_broker(&mut self, id: usize, request: Request) {
        let latency = self.latency();
        let member = self.members.get_mut(&id).unwrap();
        member.channel_free = member.channel_free.max(self.now + latency);
        let when = member.channel_free;
        self.at(when, Step::AtBroker(id, request));
    }

    /// The one promise: no offset is stored past a message that is not settled, by whomever.
    fn check_commit(&self, mq: &MessageQueue, offset: i64) {
        assert!(offset <= self.broker.end(mq), "{mq}: offset {offset} is past the end");
        let entries = &self.broker.logs[mq].entries[..offset as usize];
        if let Some(at) = entries.iter().position(|entry| !entry.settled && always_wanted(entry)) {
            panic!("{mq}: offset {offset} is stored past {at}, which is not settled");
        }
    }

    /// Among hosts that hold locks a queue has one owner: who is given a batch under a lock has it at the broker.
    fn check_owner(&self, id: usize, batch: &Batch) {
        let member = &self.members[&id];
        let status = member.group.queues(self.now).find(|status| status.mq == batch.mq).unwrap();
        if status.locked == Some(true) {
            let holder = self.broker.locks.get(&batch.mq).map(|(holder, _)| holder.as_str());
            // A broker that was started anew has none.
            let own = holder.is_none_or(|holder| holder == member.client_id);
            assert!(own, "{} is consumed under the lock of {holder:?}", batch.mq);
        }
    }

    /// In order, nothing is given out before everything that was sent before it is settled.
    fn check_order(&self, batch: &Batch) {
        if !batch.in_order {
            return;
        }
        let offsets: Vec<i64> = batch.messages.iter().map(MessageExt::queue_offset).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
        let entries = &self.broker.logs[&batch.mq].entries[..offsets[0] as usize];
        if let Some(at) = entries.iter().position(|entry| !entry.settled && always_wanted(entry)) {
            panic!("{}: offset {} is given out before {at} is settled", batch.mq, offsets[0]);
        }
    }

    fn allocate(&mut self, question: &Allocate) -> Result<Vec<(String, Vec<MessageQueue>)>, String> {
        if self.fails() {
            return Err("the strategy trapped".to_owned());
        }
        let share = |id: &String| {
            let queues =
                AllocateMessageQueueAveragely.allocate(GROUP, id, &question.queues, &question.members);
            Ok((id.clone(), queues.map_err(|error| error.to_string())?))
        };
        question.members.iter().map(share).collect()
    }

    // What happens.

    fn reply(&mut self, id: usize, input: Input) {
        if self.random.f64() < self.faults / 20.0 {
            // Lost: neither an answer nor a failure.
            if let (Input::SentBack(..), Some(member)) = (&input, self.members.get_mut(&id)) {
                member.send_backs -= 1;
            }
            return;
        }
        let when = self.now + self.latency();
        self.at(when, Step::Input(id, input));
    }

    pub(super) fn take_step(&mut self, step: Step) {
        match step {
            Step::AtNameServer(id, topic) => {
                let queues = self.broker.queues_of(&topic);
                let route = if self.fails() {
                    Route::Failed("no name server answers".to_owned())
                } else if queues.is_empty() {
                    Route::Missing
                } else {
                    Route::Found(queues)
                };
                self.reply(id, Input::Route(topic, route));
            }
            Step::AtBroker(id, request) => self.at_broker(id, request),
            Step::PullTakenUp(id, pull) => {
                let it =
                    |(owner, request, _): &(usize, PullRequest, bool)| *owner == id && request.id == pull;
                if let Some(place) = self.queued.iter().position(it) {
                    let (_, request, failed) = self.queued.remove(place);
                    self.pull_taken_up(id, request, failed);
                }
            }
            Step::HoldEnds(id, pull) => {
                let ended = |(owner, request): &(usize, PullRequest)| *owner == id && request.id == pull;
                if let Some(place) = self.held.iter().position(ended) {
                    let (_, request) = self.held.remove(place);
                    let answer = self.broker.no_news(&request);
                    self.reply(id, Input::Pulled(pull, PullOutcome::Answered(answer)));
                }
            }
            Step::Input(id, input) => self.input(id, input),
            Step::RetryDue(retry) => {
                let mq = self.broker.deliver_retry(&retry);
                self.arrived(&mq);
            }
            Step::MemberExpires(client_id) => self.member_gone(&client_id),
            Step::ComesBack(id) => {
                let member = self.members.get(&id).filter(|member| member.terminated.is_none());
                if let Some(client_id) = member.map(|member| member.client_id.clone()) {
                    self.heartbeat_arrives(&client_id);
                }
            }
        }
    }

    fn at_broker(&mut self, id: usize, request: Request) {
        let failed = self.fails();
        // A failed request may have had its effect all the same.
        let effective = !failed || self.random.bool();
        let failure = || "the connection was reset".to_owned();
        let Some(client_id) = self.members.get(&id).map(|member| member.client_id.clone()) else { return };
        match request {
            Request::Heartbeat => {
                if effective {
                    self.heartbeat_arrives(&client_id);
                }
                let outcome = if failed { HeartbeatOutcome::Failed } else { HeartbeatOutcome::Accepted };
                self.reply(id, Input::Heartbeat(outcome));
            }
            Request::Members(topic) => {
                let members = self.broker.members.iter().rev().cloned().collect();
                self.reply(id, Input::Members(topic, (!failed).then_some(members)));
            }
            Request::Offset(query, mq, kind) => {
                let answer =
                    if failed { OffsetAnswer::Failed(failure()) } else { self.offset_answer(&mq, &kind) };
                self.reply(id, Input::Offset(query, answer));
            }
            Request::Pull(request) if self.now < self.broker_starts_until => {
                let lost = PullOutcome::Failed("connection refused".to_owned());
                self.reply(id, Input::Pulled(request.id, lost));
            }
            Request::Pull(request) => {
                let when = self.now + ms(self.random.u64(0..100));
                self.at(when, Step::PullTakenUp(id, request.id));
                self.queued.push((id, request, failed));
            }
            Request::SendBack(request) => {
                if effective {
                    self.take_back(&request);
                }
                self.reply(id, Input::SentBack(request.id, if failed { Err(failure()) } else { Ok(()) }));
            }
            Request::Persist(persist, mq, offset, mode) => {
                if effective {
                    self.broker.store_offset(&mq, offset);
                }
                if failed {
                    self.reply(id, Input::Persisted(persist, Err(failure())));
                } else if mode == PersistMode::Sync {
                    self.reply(id, Input::Persisted(persist, Ok(())));
                }
            }
            Request::Lock(request) => {
                let now = self.now;
                let granted = match effective {
                    true => self.broker.lock(now, &client_id, &request.mqs),
                    false => Vec::new(),
                };
                let failed = failed.then(|| LockFailure::Failed(failure()));
                self.reply(id, Input::Locked(request.id, failed.map_or(Ok(granted), Err)));
            }
            Request::Unlock(request) => {
                if effective {
                    self.broker.unlock(&request.client_id, &request.mqs);
                }
                if let Some(unlock) = request.id {
                    let result = if failed { Err(failure()) } else { Ok(()) };
                    self.reply(id, Input::Unlocked(unlock, result));
                }
            }
            Request::Unregister => self.member_gone(&client_id),
        }
    }

    fn heartbeat_arrives(&mut self, client_id: &str) {
        if self.retry_topic_on_heartbeat {
            self.broker.add_topic(&names::retry_topic(GROUP), 1);
        }
        if self.broker.members.insert(client_id.to_owned()) {
            self.notify_members();
        }
    }

    fn member_gone(&mut self, client_id: &str) {
        if self.broker.members.remove(client_id) {
            self.notify_members();
        }
    }

    fn notify_members(&mut self) {
        for id in self.ids() {
            self.reply(id, Input::MembersChanged);
        }
    }

    fn offset_answer(&mut self, mq: &MessageQueue, kind: &OffsetKind) -> OffsetAnswer {
        match kind {
            OffsetKind::Stored => self
                .broker
                .offsets
                .get(mq)
                .map_or(OffsetAnswer::NotFound, |&offset| OffsetAnswer::Found(offset)),
            OffsetKind::Max | OffsetKind::AtOrAfter => {
                // The group begins here by its own setting; what is before is nobody's.
                let end = self.broker.end(mq);
                for entry in &mut self.broker.logs.get_mut(mq).unwrap().entries {
                    entry.settled = true;
                }
                OffsetAnswer::Found(end)
            }
        }
    }

    fn pull_taken_up(&mut self, id: usize, request: PullRequest, failed: bool) {
        if failed {
            let outcome = match self.random.u32(0..4) {
                0 => PullOutcome::Refused {
                    code: ResponseCode::SUBSCRIPTION_NOT_EXIST,
                    remark: "the consumer's subscription not exist".to_owned(),
                },
                1 => PullOutcome::Refused { code: ResponseCode::FLOW_CONTROL, remark: "busy".to_owned() },
                _ => PullOutcome::Failed("the connection was reset".to_owned()),
            };
            return self.reply(id, Input::Pulled(request.id, outcome));
        }
        match self.broker.pull(&request) {
            Some(answer) => self.reply(id, Input::Pulled(request.id, PullOutcome::Answered(answer))),
            None => {
                let when = self.now + request.suspend_timeout;
                self.at(when, Step::HoldEnds(id, request.id));
                self.held.push((id, PullRequest { commit_offset: None, ..request }));
            }
        }
    }

    pub(super) fn arrived(&mut self, mq: &MessageQueue) {
        let held = std::mem::take(&mut self.held);
        for (id, request) in held {
            let answer = if request.mq == *mq { self.broker.pull(&request) } else { None };
            match answer {
                Some(answer) => self.reply(id, Input::Pulled(request.id, PullOutcome::Answered(answer))),
                None => self.held.push((id, request)),
            }
        }
    }

    fn take_back(&mut self, request: &SendBackRequest) {
        if let Ok(Some((retry, level))) = self.broker.take_back(request) {
            let when = self.now + self.level * u32::try_from(level).unwrap();
            self.at(when, Step::RetryDue(retry));
        }
    }

    fn input(&mut self, id: usize, input: Input) {
        let now = self.now;
        if let Input::Consumed(batch) = input {
            return self.batch_ends(id, batch);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        let group = &mut member.group;
        match input {
            Input::Route(topic, route) => group.handle_route(now, &topic, route),
            Input::Heartbeat(outcome) => group.handle_heartbeat(now, outcome),
            Input::Members(topic, members) => group.handle_members(now, &topic, members),
            Input::MembersChanged => group.handle_members_changed(now),
            Input::Offset(query, answer) => group.handle_offset(now, query, answer),
            Input::Pulled(pull, outcome) => {
                member.pulls.remove(&pull);
                group.handle_pulled(now, pull, outcome);
            }
            Input::SentBack(send_back, result) => {
                member.send_backs -= 1;
                group.handle_sent_back(now, send_back, result);
            }
            Input::Persisted(persist, result) => group.handle_persisted(now, persist, result),
            Input::Locked(lock, result) => group.handle_locked(now, lock, result),
            Input::Unlocked(unlock, result) => group.handle_unlocked(now, unlock, result),
            Input::Allocated(question, answers) => group.handle_allocated(now, question, answers),
            Input::Consumed(_) => {}
        }
    }

    fn batch_ends(&mut self, id: usize, batch: BatchId) {
        let now = self.now;
        let Some(running) = self.members.get_mut(&id).and_then(|member| member.running.remove(&batch)) else {
            return;
        };
        let mixed = self.answers == Answers::Mixed;
        let is_whole = running.left.len() == running.batch.messages.len();
        let in_part = mixed && !running.batch.in_order && self.random.u32(0..5) == 0;
        if in_part || !is_whole {
            return self.part_ends(id, running);
        }
        let batch = running.batch;
        if mixed && self.random.u32(0..30) == 0 {
            let member = self.members.get_mut(&id).unwrap();
            member.returned(&batch, &running.left);
            return member.group.handle_returned(now, batch.id);
        }
        let wrong_count = self.answers == Answers::Mixed && self.random.u32(0..40) == 0;
        let settlements: Vec<_> =
            if wrong_count { Vec::new() } else { batch.messages.iter().map(|_| self.settlement()).collect() };
        let elapsed = self.elapsed();
        let counted = match batch.in_order {
            true => {
                settlements.iter().take_while(|settlement| **settlement == Settlement::Success).count() + 1
            }
            false => settlements.len(),
        };
        for (message, settlement) in batch.messages.iter().zip(&settlements).take(counted) {
            let uid = uid_of(message);
            self.consumed_at.entry(uid).or_default().push(elapsed);
            if *settlement == Settlement::Success {
                *self.succeeded.entry(uid).or_default() += 1;
                self.broker.entry_mut(&batch.mq, message.queue_offset()).settled = true;
            }
        }
        let all = settlements.iter().all(|settlement| *settlement == Settlement::Success);
        let group = &mut self.members.get_mut(&id).unwrap().group;
        match all && !wrong_count {
            true => group.handle_succeeded(now, batch.id),
            false => group.handle_consumed(now, batch.id, settlements),
        }
    }

    /// Some messages of a batch come back, consumed or untouched; the others will.
    fn part_ends(&mut self, id: usize, mut running: Running) {
        let (now, elapsed) = (self.now, self.elapsed());
        let at_once = self.random.usize(1..=running.left.len());
        self.random.shuffle(&mut running.left);
        let places = running.left.split_off(running.left.len() - at_once);
        let batch = running.batch.clone();
        if !running.left.is_empty() {
            let took = Duration::from_millis(self.random.u64(0..=self.slowest.as_millis() as u64));
            self.at(now + took, Step::Input(id, Input::Consumed(batch.id)));
            self.members.get_mut(&id).unwrap().running.insert(batch.id, running);
        }
        if self.random.u32(0..4) == 0 {
            let member = self.members.get_mut(&id).unwrap();
            member.returned(&batch, &places);
            return member.group.handle_returned_part(now, batch.id, &places);
        }
        let results: Vec<_> = places.into_iter().map(|place| (place, self.settlement())).collect();
        for (place, settlement) in &results {
            let message = &batch.messages[*place];
            let uid = uid_of(message);
            self.consumed_at.entry(uid).or_default().push(elapsed);
            if *settlement == Settlement::Success {
                *self.succeeded.entry(uid).or_default() += 1;
                self.broker.entry_mut(&batch.mq, message.queue_offset()).settled = true;
            }
        }
        self.members.get_mut(&id).unwrap().group.handle_consumed_part(now, batch.id, results);
    }

    fn settlement(&mut self) -> Settlement {
        match self.answers {
            Answers::Success => Settlement::Success,
            Answers::Later(delay) => Settlement::ReconsumeLater(delay),
            Answers::Mixed => match self.random.u32(0..20) {
                0 => Settlement::DeadLetter("poison".to_owned()),
                1 => Settlement::ReconsumeLater(RetryDelay::ByAttempts),
                2 => Settlement::ReconsumeLater(RetryDelay::Level(1)),
                3 => Settlement::ReconsumeLater(RetryDelay::Millis(2_500)),
                _ => Settlement::Success,
            },
        }
    }
}
