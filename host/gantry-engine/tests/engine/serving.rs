//! Generations, threads and isolation together, as the host uses them.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use gantry_engine::{
    BatchReport, Cause, ConsumeJob, ConsumeResult, Grants, GuestThreads, Job, ListenerModule, MessageBatch,
    MessageView, Order, PluginState, Rejected, Slot,
};

use crate::common::{PATIENCE, SHORT, batch, component, engine, eventually, guest};

fn job(
    slot: &Slot,
    messages: Arc<dyn MessageBatch>,
    deadline: Duration,
    done: mpsc::Sender<BatchReport>,
) -> ConsumeJob {
    ConsumeJob {
        lease: slot.lease().unwrap(),
        consumer_group: "group".into(),
        topic: "topic".into(),
        broker_name: "broker-a".into(),
        queue_id: 0,
        messages: 0..(*messages).len(),
        batch: messages,
        deadline,
        order: Order::Any,
        done: Box::new(move |report| done.send(report).unwrap()),
    }
}

/// Submits, waiting for room the blocking way.
fn submit(threads: &GuestThreads, job: ConsumeJob) {
    let mut job = Job::from(job);
    loop {
        match threads.try_submit(job) {
            Ok(()) => return,
            Err(Rejected::Full(back)) => job = back,
            Err(Rejected::ShuttingDown(_)) => panic!("shutting down"),
        }
        std::thread::yield_now();
    }
}

fn successes(report: &BatchReport) -> usize {
    report.outcomes.iter().filter(|outcome| outcome.result == ConsumeResult::Success).count()
}

#[test]
fn a_batch_finishes_in_the_generation_it_was_dispatched_to() {
    let slot = Slot::new();
    assert!(slot.lease().is_none());
    let (first, before) = slot.switch(guest("minimal"));
    assert!((first, before.is_none()) == (1, true));
    let lease = slot.lease().unwrap();
    let (second, retired) = slot.switch(guest("scripted"));
    let retired = retired.unwrap();
    assert_eq!((second, retired.number(), retired.in_flight()), (2, 1, 1));
    assert_eq!(lease.module().description().name, "minimal");
    assert_eq!(retired.hash(), lease.module().hash());
    assert!(!retired.is_drained());
    assert_eq!(retired.state(), PluginState::Draining { in_flight: 1 });
    assert_eq!(slot.lease().unwrap().module().description().name, "scripted");
    drop(lease);
    assert!(retired.is_drained());
    assert_eq!(retired.state(), PluginState::Retired);
}

#[test]
fn whoever_waits_for_the_last_batch_is_woken() {
    let slot = Slot::new();
    slot.switch(guest("minimal"));
    let lease = slot.lease().unwrap();
    let retired = slot.clear().unwrap();
    assert!(slot.lease().is_none());
    let waiter = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, retired.drained()).await.is_ok() })
    });
    drop(lease);
    assert!(waiter.join().unwrap());
}

#[test]
fn swaps_under_load_lose_no_batch_and_drain_every_old_generation() {
    const BATCHES: usize = 400;
    const MESSAGES: [&str; 4] = ["a", "b", "c", "d"];
    let engine = engine();
    let versions: Vec<ListenerModule> = ["minimal", "scripted"]
        .iter()
        .map(|name| engine.load(&component(name), &Grants::NONE).unwrap())
        .collect();
    let slot = Slot::new();
    slot.switch(versions[0].clone());
    let threads = GuestThreads::start(2, 8).unwrap();
    let (done, reports) = mpsc::channel();
    let mut retired = Vec::new();
    for number in 0..BATCHES {
        if number % 20 == 10 {
            retired.extend(slot.switch(versions[(number / 20 + 1) % 2].clone()).1);
        }
        submit(&threads, job(&slot, batch(&MESSAGES), PATIENCE, done.clone()));
    }
    assert!(threads.shutdown(PATIENCE).is_clean());
    let finished: Vec<BatchReport> = reports.try_iter().collect();
    assert_eq!(finished.len(), BATCHES);
    assert_eq!(finished.iter().map(successes).sum::<usize>(), BATCHES * MESSAGES.len());
    assert_eq!(retired.len(), BATCHES / 20);
    assert!(retired.iter().all(gantry_engine::Retired::is_drained));
}

#[test]
fn a_guest_that_spins_holds_up_no_other_thread() {
    let engine = engine();
    let (stuck, brisk) = (Slot::new(), Slot::new());
    stuck.switch(engine.load(&component("spins"), &Grants::NONE).unwrap());
    brisk.switch(engine.load(&component("minimal"), &Grants::NONE).unwrap());
    let threads = GuestThreads::start(2, 8).unwrap();
    let (spun, spin_report) = mpsc::channel();
    let (done, reports) = mpsc::channel();
    // It is left behind, and keeps a core busy until then.
    submit(&threads, job(&stuck, batch(&["spin"]), Duration::from_secs(30), spun));
    eventually("the spinning guest running", || threads.stats().busy == 1);
    for _ in 0..10 {
        submit(&threads, job(&brisk, batch(&["a"]), PATIENCE, done.clone()));
        assert_eq!(successes(&reports.recv_timeout(PATIENCE).unwrap()), 1);
    }
    assert!(spin_report.try_recv().is_err(), "it spins still");
    let left = threads.shutdown(Duration::from_millis(1));
    assert_eq!(left.threads_left, 1);
}

#[test]
fn the_thread_of_a_guest_that_was_stopped_goes_on_with_the_next_batch() {
    let slot = Slot::new();
    slot.switch(guest("spins"));
    let threads = GuestThreads::start(1, 8).unwrap();
    let (done, reports) = mpsc::channel();
    submit(&threads, job(&slot, batch(&["spin"]), SHORT, done.clone()));
    submit(&threads, job(&slot, batch(&["a"]), PATIENCE, done));
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap().outcomes[0].cause.name(), "deadline");
    assert_eq!(successes(&reports.recv_timeout(PATIENCE).unwrap()), 1);
}

/// A batch whose view of a message is a defect of the host.
struct Broken;

impl MessageBatch for Broken {
    fn len(&self) -> usize {
        2
    }
    fn message(&self, _: usize) -> MessageView<'_> {
        panic!("a defect of the host")
    }
    fn user_properties<'a>(&'a self, _: usize, _: &mut Vec<(&'a str, &'a str)>) {}
    fn property(&self, _: usize, _: &str) -> Option<&str> {
        None
    }
    fn properties<'a>(&'a self, _: usize, _: &mut Vec<(&'a str, &'a str)>) {}
    fn born_host(&self, _: usize) -> Option<String> {
        None
    }
    fn store_host(&self, _: usize) -> Option<String> {
        None
    }
    fn offset_message_id(&self, _: usize) -> Option<String> {
        None
    }
}

#[test]
fn a_panic_of_the_host_gives_the_batch_back_and_spares_the_thread() {
    let slot = Slot::new();
    slot.switch(guest("minimal"));
    let threads = GuestThreads::start(1, 8).unwrap();
    let (done, reports) = mpsc::channel();
    submit(&threads, job(&slot, Arc::new(Broken), PATIENCE, done.clone()));
    submit(&threads, job(&slot, batch(&["a"]), PATIENCE, done));
    let broken = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(broken.outcomes.len(), 2);
    assert!(broken.outcomes.iter().all(|outcome| matches!(&outcome.cause, Cause::HostPanic(_))));
    assert_eq!(successes(&reports.recv_timeout(PATIENCE).unwrap()), 1);
    assert_eq!(threads.stats().panics, 1);
}
