//! The allocation strategies answer as RocketMQ's classes do: thousands of questions, with the answers of Java's.
//!
//! `allocation/java.txt` says how it was made, by `tests/java/AllocateCases.java`. The questions come from a small
//! generator that is here and there; the file has a hash of each, so a difference of the generators is not taken for
//! one of the strategies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod allocation {
    pub(crate) mod question;
}

use allocation::question::{Question, hash};

const JAVA: &str = include_str!("allocation/java.txt");

fn lines() -> impl Iterator<Item = &'static str> {
    JAVA.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn every_answer_is_javas() {
    let (names, cases) = (lines().next().unwrap(), lines().skip(1).filter(|line| !line.starts_with('?')));
    let mut count = 0;
    for line in cases {
        let mut columns = line.split(" | ");
        let (number, question_hash) = columns.next().unwrap().split_once(' ').unwrap();
        let question = Question::new(number.parse().unwrap());
        assert_eq!(
            hash(&question.to_string()),
            question_hash,
            "the generator makes another question {number}"
        );
        for ((strategy, name), expected) in question.strategies().iter().zip(names.split(" | ")).zip(columns)
        {
            assert_eq!(strategy.name(), name);
            let answer = question.ask(&**strategy);
            let same = match expected.strip_prefix('#') {
                Some(expected) => hash(&answer) == expected,
                None => answer == expected,
            };
            assert!(
                same,
                "case {number}, {name}: {answer:?} instead of {expected:?}; the question: {question}"
            );
            count += 1;
        }
    }
    assert_eq!(count, 2000 * 8);
}

#[test]
fn the_questions_that_are_written_out_are_those_asked() {
    let written: Vec<_> = lines().filter_map(|line| line.strip_prefix("? ")).collect();
    assert_eq!(written.len(), 20);
    for (number, written) in written.into_iter().enumerate() {
        assert_eq!(Question::new(number as u64).to_string(), written);
    }
}

#[test]
fn the_questions_cover_refusals_and_answers_of_every_strategy() {
    let questions: Vec<_> = (0..2000).map(Question::new).collect();
    for index in 0..8 {
        let answers: Vec<_> = questions.iter().map(|q| q.ask(&*q.strategies()[index])).collect();
        let several = answers.iter().filter(|answer| answer.contains(' ')).count();
        assert!(several > 200, "strategy {index}: {several} answers with several queues");
        let refused = answers.iter().filter(|answer| answer.starts_with('!')).count();
        assert!(refused > 100 || index == 2, "strategy {index}: {refused} refusals");
    }
}
