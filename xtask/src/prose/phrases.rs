//! The list of phrases, and the passages that use one too often.

use anyhow::{Context as _, Result};
use regex::Regex;

use super::passages::Passage;

/// The mark of a pattern for summaries alone.
const SUMMARY: char = '^';

/// A turn of phrase.
#[derive(Debug)]
pub(super) struct Phrase {
    pattern: Regex,
    of_summaries: bool,
    /// The number of places that may have it.
    permitted: usize,
}

/// Parses a list: a number and a regular expression in each line, which is compared without regard to case. One that
/// begins with `^` is for the first paragraphs of comments. A line that begins with `#` is a comment.
pub(super) fn parse(list: &str) -> Result<Vec<Phrase>> {
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    list.lines().filter(is_entry).map(phrase).collect()
}

fn phrase(line: &str) -> Result<Phrase> {
    let (number, pattern) = line.split_once(' ').with_context(|| format!("no pattern: {line}"))?;
    let permitted = number.parse().with_context(|| format!("no number: {line}"))?;
    let of_summaries = pattern.starts_with(SUMMARY);
    let pattern =
        Regex::new(&format!("(?i){pattern}")).with_context(|| format!("no pattern: {line}"))?;
    Ok(Phrase { pattern, of_summaries, permitted })
}

/// Returns a text for each phrase that is in more places than permitted.
pub(super) fn faults(phrases: &[Phrase], passages: &[Passage]) -> Vec<String> {
    phrases.iter().filter_map(|phrase| phrase.fault(passages)).collect()
}

impl Phrase {
    fn fault(&self, passages: &[Passage]) -> Option<String> {
        let subject = |passage: &&Passage| passage.is_summary || !self.of_summaries;
        let places: Vec<String> = passages
            .iter()
            .filter(subject)
            .flat_map(|passage| self.pattern.find_iter(&passage.text).map(move |at| (passage, at)))
            .map(|(passage, at)| format!("{}:{}: {}", passage.path, passage.line, at.as_str()))
            .collect();
        let Self { pattern, permitted, .. } = self;
        let head = format!("`{pattern}` is in {} places, {permitted} are permitted:", places.len());
        (places.len() > *permitted).then(|| format!("{head}\n{}", places.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Passage, faults, parse};

    fn passage(text: &str, is_summary: bool) -> Passage {
        Passage { path: "a.rs".to_owned(), line: 7, text: text.to_owned(), is_summary }
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
