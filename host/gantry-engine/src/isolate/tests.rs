use super::*;

/// Guests that answer by script: `t` traps, `d` runs into the deadline, `e` answers err, `w` gives a wrong count,
/// `n` has no instance, `l` is to be reconsumed later, `s` is settled as a success and `k` as later on the way, `x` is
/// settled as a success and traps, anything else succeeds. A whole batch does what its first bad message does.
struct Script {
    steps: Vec<char>,
    /// Whether the instance of the whole batch is fresh.
    untouched: bool,
}

impl Script {
    fn result(step: char) -> ConsumeResult {
        match step {
            'l' => ConsumeResult::ReconsumeLater(RetryDelay::Level(1)),
            _ => ConsumeResult::Success,
        }
    }

    fn answer(steps: &[char], step: char, untouched: bool) -> Answer {
        let messages = steps.len();
        let failure = match step {
            't' | 'x' => GuestFailure::Trap { reason: "unreachable".into(), last_words: None },
            'd' => GuestFailure::Deadline { deadline: Duration::from_millis(10) },
            'e' => GuestFailure::ListenerError("no database".into()),
            'w' => GuestFailure::WrongCount { expected: messages, got: 0 },
            'n' => return Answer::NoInstance(InstantiateError::PoolExhausted { max: 1 }),
            _ => return Answer::Results(Results::Each(steps.iter().copied().map(Self::result).collect())),
        };
        Answer::Failed { failure, untouched }
    }

    /// What a call with these messages comes to: it settles what it reaches.
    fn called(steps: &[char], untouched: bool) -> Called {
        let bad = |step: &char| !['.', 'l', 's', 'k'].contains(step);
        let (messages, mut settled) = (steps.len(), Settled::default());
        for (place, step) in steps.iter().enumerate() {
            let result = match step {
                's' | 'x' => Some(ConsumeResult::Success),
                'k' => Some(ConsumeResult::ReconsumeLater(RetryDelay::Level(1))),
                _ => None,
            };
            if let Some(result) = result {
                let alone = Settled::one(result);
                settled.take_over(place, messages, alone);
            }
            if bad(step) {
                break;
            }
        }
        let step = steps.iter().copied().find(bad).unwrap_or('.');
        Called { answer: Self::answer(steps, step, untouched), settled }
    }
}

impl Calls for Script {
    fn whole(&mut self, _: Instant) -> Called {
        Self::called(&self.steps, self.untouched)
    }

    fn alone(&mut self, index: usize) -> Called {
        Self::called(&[self.steps[index]], true)
    }
}

/// The causes, message by message, and the number of calls.
fn run(script: &str) -> (String, u32, u32) {
    run_in(script, false)
}

fn run_in(script: &str, untouched: bool) -> (String, u32, u32) {
    let mut script = Script { steps: script.chars().collect(), untouched };
    letters(&isolate(Instant::now(), script.steps.len(), Order::Any, &mut script), script.steps.len())
}

fn run_in_order(script: &str) -> (String, u32, u32) {
    let mut script = Script { steps: script.chars().collect(), untouched: false };
    letters(&isolate(Instant::now(), script.steps.len(), Order::Kept, &mut script), script.steps.len())
}

fn letters(report: &BatchReport, messages: usize) -> (String, u32, u32) {
    assert_eq!(report.outcomes.len(), messages, "one outcome for each message");
    let later = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);
    for outcome in &report.outcomes {
        let answered = matches!(outcome.cause, Cause::Answered | Cause::AnsweredAlone | Cause::Settled);
        assert!(answered || outcome.result == later, "{outcome:?}");
    }
    let letters = report.outcomes.iter().map(|outcome| match outcome.cause {
        Cause::Answered | Cause::AnsweredAlone if outcome.result != ConsumeResult::Success => 'l',
        Cause::Settled if outcome.result != ConsumeResult::Success => 'k',
        Cause::Settled => 's',
        Cause::Answered => 'A',
        Cause::AnsweredAlone => 'a',
        Cause::FailedAlone(_) => 'F',
        Cause::BatchFailed(_) => 'B',
        Cause::NotRun(_) => '-',
        Cause::HeldBack => 'h',
        Cause::NoInstance(_) => 'N',
        Cause::HostPanic(_) => 'P',
    });
    (letters.collect(), report.calls, report.instances_lost)
}

#[test]
fn a_good_batch_takes_one_call() {
    assert_eq!(run("...."), ("AAAA".into(), 1, 0));
    assert_eq!(run(""), (String::new(), 0, 0));
}

#[test]
fn a_trap_gives_back_only_the_poison_message() {
    assert_eq!(run("..t."), ("aaFa".into(), 5, 2));
    assert_eq!(run("t..t"), ("FaaF".into(), 5, 3));
}

#[test]
fn a_batch_of_one_has_one_trial_in_an_untouched_instance() {
    assert_eq!(run("t"), ("F".into(), 2, 2));
    assert_eq!(run("d"), ("F".into(), 2, 2));
    assert_eq!(run_in("t", true), ("F".into(), 1, 1));
    assert_eq!(run_in("t.", true), ("Fa".into(), 3, 2));
}

#[test]
fn an_error_or_a_wrong_count_gives_the_whole_batch_back_after_one_call() {
    assert_eq!(run("..e."), ("BBBB".into(), 1, 0));
    assert_eq!(run(".w"), ("BB".into(), 1, 0));
}

#[test]
fn alone_too_an_error_or_a_wrong_count_is_the_messages_own() {
    assert_eq!(run("tew."), ("FFFa".into(), 5, 2));
}

#[test]
fn three_deadlines_in_a_row_give_the_rest_back_unrun() {
    assert_eq!(run(".ddd..").0, "aFFF--");
    assert_eq!(run("ddtddd.").0, "FFFFFF-");
    assert_eq!(run("dd.dd.").0, "FFaFFa");
}

#[test]
fn scattered_deadlines_are_bounded_too() {
    assert_eq!(run("d.d.d.d.d.d.d.d.d.").0, "FaFaFaFaFaFaFaF---");
}

#[test]
fn without_an_instance_everything_left_is_given_back() {
    assert_eq!(run("n.."), ("NNN".into(), 0, 0));
    assert_eq!(run("t.n."), ("FaNN".into(), 3, 2));
}

#[test]
fn in_order_everything_behind_the_first_that_is_not_consumed_is_held_back() {
    assert_eq!(run_in_order("...."), ("AAAA".into(), 1, 0));
    assert_eq!(run_in_order(".l.l"), ("Alhh".into(), 1, 0));
    assert_eq!(run_in_order("..e."), ("Bhhh".into(), 1, 0));
    assert_eq!(run_in_order("n.."), ("Nhh".into(), 0, 0));
}

#[test]
fn in_order_messages_are_tried_alone_up_to_the_first_that_is_not_consumed() {
    assert_eq!(run_in_order("..t.t"), ("aaFhh".into(), 4, 2));
    assert_eq!(run_in_order(".lt."), ("alhh".into(), 3, 1));
    assert_eq!(run_in_order("dddd"), ("Fhhh".into(), 2, 2));
    assert_eq!(run_in_order(".et"), ("Bhh".into(), 1, 0));
    assert_eq!(run_in_order("t.n"), ("Fhh".into(), 2, 2));
}

#[test]
fn what_was_settled_before_a_trap_is_not_tried_again() {
    assert_eq!(run("s.st."), ("sasFa".into(), 4, 2));
    assert_eq!(run("kt"), ("kF".into(), 2, 2));
    assert_eq!(run("ts"), ("Fs".into(), 3, 2), "what comes behind the trap is settled alone");
}

#[test]
fn a_message_that_was_settled_and_then_traps_keeps_its_result() {
    assert_eq!(run(".x."), ("asa".into(), 3, 1));
    assert_eq!(run_in("x", true), ("s".into(), 1, 1));
    assert_eq!(run("tx"), ("Fs".into(), 3, 3), "alone too");
}

#[test]
fn what_was_settled_is_in_the_place_of_the_answer_and_of_an_error() {
    assert_eq!(run(".k.s"), ("AkAs".into(), 1, 0));
    assert_eq!(run("s.e."), ("sBBB".into(), 1, 0));
    assert_eq!(run("k.w"), ("kBB".into(), 1, 0));
    assert_eq!(run("s.d").0, "saF");
}

#[test]
fn in_order_what_was_settled_counts_up_to_the_first_that_is_not_consumed() {
    assert_eq!(run_in_order("sst."), ("ssFh".into(), 2, 2));
    assert_eq!(run_in_order("skt."), ("skhh".into(), 1, 1));
    assert_eq!(run_in_order("ls."), ("lhh".into(), 1, 0));
    assert_eq!(run_in_order("tsx"), ("Fhh".into(), 2, 2));
    assert_eq!(run_in_order("lx"), ("lh".into(), 2, 1), "the one before it fails alone");
}

#[test]
fn rest_of_a_batch_that_is_out_of_time_keeps_what_was_settled() {
    assert_eq!(run("sddd..").0, "sFFF--");
}
