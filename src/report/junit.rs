//! Expectations as test cases, for build servers: JUnit XML.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::places::{Claims, in_words, worse_in_words};
use crate::summary::{Gate, Verdict};

/// A suite for each design with a case for each expectation, and one suite for the baseline.
#[must_use]
pub fn document(designs: &[Claims<'_>], gate: Option<&Gate>) -> String {
    let mut report = Report::new("edasim");
    for design in designs {
        let mut suite = TestSuite::new(design.name);
        for judged in design.judged {
            let status = match judged.verdict {
                Verdict::Holds => TestCaseStatus::success(),
                Verdict::Fails => failure("expectation", &in_words(judged), &place(&judged.file, judged.place)),
                Verdict::Undecided => failure("undecided", &in_words(judged), &place(&judged.file, judged.place)),
            };
            suite.add_test_case(case(&judged.text, design.name, status));
        }
        report.add_test_suite(suite);
    }
    if let Some(gate) = gate {
        let mut suite = TestSuite::new(format!("no worse than {}", gate.baseline));
        for worse in &gate.worse {
            let words = worse_in_words(worse);
            let place =
                worse.place.as_ref().map_or_else(String::new, |(file, line, column)| place(file, (*line, *column)));
            suite.add_test_case(case(&worse.name, &worse.design, failure("regression", &words, &place)));
        }
        if gate.worse.is_empty() {
            let name = format!("none of {} metrics is worse", gate.compared);
            suite.add_test_case(case(&name, "", TestCaseStatus::success()));
        }
        report.add_test_suite(suite);
    }
    report.to_string().expect("a string takes everything, and the report holds nothing that XML does not know")
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    if !class.is_empty() {
        case.set_classname(class);
    }
    case
}

fn failure(kind: &str, words: &str, place: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(words);
    if !place.is_empty() {
        status.set_description(place);
    }
    status
}

fn place(file: &str, (line, column): (u32, u32)) -> String {
    if file.starts_with("--") { format!("on the command line: {file}") } else { format!("{file}:{line}:{column}") }
}
