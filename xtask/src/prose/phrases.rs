//! The list of phrases, and the passages that use one too often.

use anyhow::{Context as _, Result};
use regex::Regex;

use super::LONGEST;
use super::passages::{Kind, Passage};

/// The mark of a pattern for summaries alone.
const SUMMARY: char = '^';
/// The mark of a pattern for names of tests.
const TEST: &str = "test ";
/// The entries for long sentences.
const LONG: [(&str, Subject); 2] = [
    ("long sentences of documents", Subject::LongSentences(Kind::Document)),
    ("long sentences of code", Subject::LongSentences(Kind::Code)),
];

/// A turn of phrase, or the sentences that are too long.
#[derive(Debug)]
pub(super) struct Phrase {
    /// The entry as it is in the list.
    entry: String,
    pattern: Regex,
    subject: Subject,
    /// The number of places that may have it.
    permitted: usize,
}

/// The passages that an entry is for.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Texts,
    Summaries,
    TestNames,
    LongSentences(Kind),
}

impl Subject {
    fn has(self, kind: Kind) -> bool {
        match self {
            Self::Texts => kind != Kind::TestName,
            Self::Summaries => kind == Kind::Summary,
            Self::TestNames => kind == Kind::TestName,
            Self::LongSentences(Kind::Document) => kind == Kind::Document,
            Self::LongSentences(_) => matches!(kind, Kind::Code | Kind::Summary),
        }
    }
}

/// Parses a list: a number and a regular expression in each line, which is compared without regard to case. One that
/// begins with `^` is for the first paragraphs of comments, and one behind `test` is for the names of tests. The words of
/// [`LONG`] stand for long sentences. A line that begins with `#` is a comment.
pub(super) fn parse(list: &str) -> Result<Vec<Phrase>> {
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    list.lines().filter(is_entry).map(phrase).collect()
}

fn phrase(line: &str) -> Result<Phrase> {
    let (number, entry) = line.split_once(' ').with_context(|| format!("no pattern: {line}"))?;
    let permitted = number.parse().with_context(|| format!("no number: {line}"))?;
    let (subject, pattern) = if let Some((_, long)) = LONG.iter().find(|(words, _)| *words == entry)
    {
        (*long, "")
    } else if let Some(pattern) = entry.strip_prefix(TEST) {
        (Subject::TestNames, pattern)
    } else if entry.starts_with(SUMMARY) {
        (Subject::Summaries, entry)
    } else {
        (Subject::Texts, entry)
    };
    let pattern =
        Regex::new(&format!("(?i){pattern}")).with_context(|| format!("no pattern: {line}"))?;
    Ok(Phrase { entry: entry.to_owned(), pattern, subject, permitted })
}

/// Returns a text for each phrase that is in more places than permitted.
pub(super) fn faults(phrases: &[Phrase], passages: &[Passage]) -> Vec<String> {
    phrases.iter().filter_map(|phrase| phrase.fault(passages)).collect()
}

impl Phrase {
    fn fault(&self, passages: &[Passage]) -> Option<String> {
        let places: Vec<String> = passages
            .iter()
            .filter(|passage| self.subject.has(passage.kind))
            .flat_map(|passage| self.texts(passage).into_iter().map(move |text| (passage, text)))
            .map(|(passage, text)| format!("{}:{}: {text}", passage.path, passage.line))
            .collect();
        let Self { entry, permitted, .. } = self;
        let head = format!("`{entry}` is in {} places, {permitted} are permitted:", places.len());
        (places.len() > *permitted).then(|| format!("{head}\n{}", places.join("\n")))
    }

    /// Returns the texts of the passage that count.
    fn texts(&self, passage: &Passage) -> Vec<String> {
        match self.subject {
            Subject::LongSentences(_) => {
                let is_long = |sentence: &&str| sentence.split_whitespace().count() > LONGEST;
                let sentences = passage.sentences().into_iter().filter(is_long);
                sentences.map(beginning).collect()
            }
            Subject::TestNames if self.pattern.is_match(&passage.text) => {
                vec![passage.text.clone()]
            }
            Subject::TestNames => Vec::new(),
            Subject::Texts | Subject::Summaries => {
                self.pattern.find_iter(&passage.text).map(|at| at.as_str().to_owned()).collect()
            }
        }
    }
}

/// Returns the first words of a sentence.
fn beginning(sentence: &str) -> String {
    let words: Vec<&str> = sentence.split_whitespace().take(8).collect();
    format!("{} ...", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Passage, faults, parse};

    fn passage(text: &str, is_summary: bool) -> Passage {
        of_kind(text, if is_summary { Kind::Summary } else { Kind::Code })
    }

    fn of_kind(text: &str, kind: Kind) -> Passage {
        Passage { path: "a.rs".to_owned(), line: 7, text: text.to_owned(), kind }
    }

    #[test]
    fn a_pattern_for_tests_looks_at_their_names_alone() {
        let list = parse("0 test ^what_|_nobody").unwrap();
        let text = of_kind("a_nobody_b", Kind::Code);
        assert!(faults(&list, &[text, of_kind("some_what_b", Kind::TestName)]).is_empty());
        assert_eq!(faults(&list, &[of_kind("a_nobody_b", Kind::TestName)]).len(), 1);
    }

    /// 35 words are permitted, and the next one is not.
    #[test]
    fn a_long_sentence_counts_for_its_kind_of_file() {
        let list = parse("0 long sentences of documents\n1 long sentences of code").unwrap();
        let (short, long) = ("word ".repeat(35), "word ".repeat(36));
        assert!(faults(&list, &[of_kind(&short, Kind::Document)]).is_empty());
        assert!(faults(&list, &[of_kind(&long, Kind::Summary)]).is_empty());
        assert_eq!(faults(&list, &[of_kind(&long, Kind::Document)]).len(), 1);
    }

    #[test]
    fn a_phrase_fails_where_it_is_used_more_often_than_permitted() {
        let passages = [passage("It mumbles this. It Mumbles that.", true)];
        assert!(faults(&parse("2 \\bmumbles\\b").unwrap(), &passages).is_empty());
        let found = faults(&parse("# one\n\n1 \\bmumbles\\b").unwrap(), &passages);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("2 places, 1 are permitted"), "{}", found[0]);
        assert!(found[0].contains("a.rs:7: Mumbles"), "{}", found[0]);
    }

    #[test]
    fn a_pattern_for_beginnings_looks_at_summaries_alone() {
        let list = parse("0 ^(what|who)\\b").unwrap();
        assert!(
            faults(&list, &[passage("What now?", false), passage("Whatever.", true)]).is_empty()
        );
        assert_eq!(faults(&list, &[passage("What it is.", true)]).len(), 1);
    }

    #[test]
    fn a_line_without_number_or_pattern_is_refused() {
        assert!(parse("mumbles").is_err());
        assert!(parse("x mumbles").is_err());
        assert!(parse("0 (").is_err());
    }
}
