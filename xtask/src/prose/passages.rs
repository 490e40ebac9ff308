//! The passages of a file: paragraphs of its comments, and strings that people read.

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Source;

/// A paragraph, a list item, a table cell or a string, without its markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// The kind of a passage, by which patterns choose theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first paragraph of a comment, which names the item.
    Summary,
    /// Any other text of a source file.
    Code,
    /// A text of a document.
    Document,
    /// The name of a test function.
    TestName,
}

impl Passage {
    /// Returns the sentences. A point within a number or a name ends none, nor does one before a small letter.
    pub(super) fn sentences(&self) -> Vec<&str> {
        let mut found = Vec::new();
        let mut rest = self.text.as_str();
        let mut from = 0;
        while let Some(at) = rest.get(from..).and_then(|text| text.find(['.', '!', '?'])) {
            let (sentence, behind) = rest.split_at(from + at + 1);
            let next = behind.trim_start_matches([')', '"', '\'']);
            let begins = next.trim_start().chars().next();
            let ends = next.starts_with(char::is_whitespace)
                && begins.is_some_and(|first| !first.is_lowercase());
            if ends {
                found.push(sentence);
                (rest, from) = (behind, 0);
            } else {
                from += at + 1;
            }
        }
        found.push(rest);
        found
    }
}

/// Returns the passages of the comments and strings of a Rust file.
pub(super) fn of_rust(source: &Source) -> Result<Vec<Passage>> {
    let tokens: TokenStream =
        source.text.parse().map_err(|error| anyhow!("{}: {error}", source.path))?;
    let mut found = of_comments(source);
    add_strings(tokens, &source.path, &mut found);
    add_test_names(source, &mut found);
    Ok(found)
}

/// Returns the passages of the comments of a C file.
pub(super) fn of_c(source: &Source) -> Vec<Passage> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source.text.as_str(), 1);
    while let Some((before, comment)) = rest.split_once("/*") {
        line += before.matches('\n').count();
        let (comment, behind) = comment.split_once("*/").unwrap_or((comment, ""));
        let lines = comment.lines().map(|line| line.trim().trim_start_matches(['*', ' ']));
        let text: Vec<&str> = lines.collect();
        found.extend(of_text(&source.path, line, &text.join("\n")));
        line += comment.matches('\n').count();
        rest = behind;
    }
    found
}

/// Adds the names of the functions with the attribute `test`.
fn add_test_names(source: &Source, found: &mut Vec<Passage>) {
    let mut is_test = false;
    for (index, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if line == "#[test]" {
            is_test = true;
        } else if let Some((name, _)) =
            line.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
            && core::mem::take(&mut is_test)
        {
            let (path, text) = (source.path.clone(), name.to_owned());
            found.push(Passage { path, line: index + 1, text, kind: Kind::TestName });
        }
    }
}

/// Returns the passages of a document.
pub(super) fn of_markdown(source: &Source) -> Vec<Passage> {
    let mut found = of_text(&source.path, 1, &source.text);
    for passage in &mut found {
        passage.kind = Kind::Document;
    }
    found
}

fn of_comments(source: &Source) -> Vec<Passage> {
    let mut found = Vec::new();
    let mut block: Option<Block<'_>> = None;
    for (index, line) in source.text.lines().enumerate() {
        let comment = comment(line);
        match (&mut block, comment) {
            (Some(block), Some((marker, text))) if block.marker == marker => block.push(text),
            (_, comment) => {
                found.extend(
                    block.take().into_iter().flat_map(|block| block.passages(&source.path)),
                );
                block = comment.map(|(marker, text)| Block::new(marker, index + 1, text));
            }
        }
    }
    found.extend(block.into_iter().flat_map(|block| block.passages(&source.path)));
    found
}

/// Lines with one comment marker that follow each other.
struct Block<'t> {
    marker: &'t str,
    line: usize,
    text: String,
}

impl<'t> Block<'t> {
    fn new(marker: &'t str, line: usize, text: &str) -> Self {
        Self { marker, line, text: format!("{text}\n") }
    }

    fn push(&mut self, text: &str) {
        self.text.extend([text, "\n"]);
    }

    fn passages(self, path: &str) -> Vec<Passage> {
        of_text(path, self.line, &self.text)
    }
}

/// Returns the marker and the text of a line that is a comment.
fn comment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    ["///", "//!", "//"].into_iter().find_map(|marker| {
        let text = line.strip_prefix(marker)?;
        Some((&line[..marker.len()], text.strip_prefix(' ').unwrap_or(text)))
    })
}

/// Returns the passages of a text in Markdown. Blocks of code are left out, and code within a line becomes one word.
fn of_text(path: &str, first_line: usize, text: &str) -> Vec<Passage> {
    let mut found: Vec<Passage> = Vec::new();
    let mut current = None;
    let mut in_code = false;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::Paragraph | Tag::Item | Tag::TableCell | Tag::Heading { .. })
            | Event::End(
                TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell | TagEnd::Heading(_),
            ) => {
                found.extend(current.take());
            }
            Event::Text(words) if !in_code => add(&mut current, path, text, range.start, &words),
            Event::Code(_) => add(&mut current, path, text, range.start, "`code`"),
            Event::SoftBreak | Event::HardBreak => {
                add(&mut current, path, text, range.start, " ");
            }
            _ => {}
        }
    }
    found.extend(current);
    for passage in &mut found {
        passage.line += first_line - 1;
    }
    if let Some(first) = found.first_mut() {
        first.kind = Kind::Summary;
    }
    found
}

fn add(current: &mut Option<Passage>, path: &str, text: &str, at: usize, words: &str) {
    let line = 1 + text[..at].matches('\n').count();
    let empty = || Passage { path: path.to_owned(), line, text: String::new(), kind: Kind::Code };
    current.get_or_insert_with(empty).text.push_str(words);
}

/// Adds the string literals of more than one word. Documentation is a comment, and left out here.
fn add_strings(tokens: TokenStream, path: &str, found: &mut Vec<Passage>) {
    let mut after_doc = false;
    for tree in tokens {
        match &tree {
            TokenTree::Group(group) => add_strings(group.stream(), path, found),
            TokenTree::Literal(literal) if !after_doc => {
                let text = literal.to_string();
                let line = literal.span().start().line;
                if text.contains('"') && text.contains(' ') {
                    let text = text.trim_matches(['b', 'r', '#', '"']).to_owned();
                    found.push(Passage { path: path.to_owned(), line, text, kind: Kind::Code });
                }
            }
            _ => {}
        }
        after_doc = match &tree {
            TokenTree::Ident(ident) => *ident == "doc",
            TokenTree::Punct(punct) => after_doc && punct.as_char() == '=',
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Passage, Source, of_c, of_markdown, of_rust};

    fn rust(text: &str) -> Vec<(usize, String, bool)> {
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        let found = of_rust(&source).unwrap().into_iter();
        found.map(|passage| (passage.line, passage.text, passage.kind == Kind::Summary)).collect()
    }

    #[test]
    fn the_first_paragraph_of_each_comment_is_a_summary() {
        let text = "//! A module.\n\n/// Returns `x`\n/// twice.\n///\n/// # Errors\n/// None.\nfn f() {\n    // Why.\n}\n";
        let found = rust(text);
        let summary = |line, text: &str| (line, text.to_owned(), true);
        assert_eq!(found[0], summary(1, "A module."));
        assert_eq!(found[1], summary(3, "Returns `code` twice."));
        assert_eq!(found[2], (6, "Errors".to_owned(), false));
        assert_eq!(found[3], (7, "None.".to_owned(), false));
        assert_eq!(found[4], summary(9, "Why."));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn code_in_documentation_is_left_out_and_strings_are_not() {
        let text = "/// A.\n/// ```\n/// what is this\n/// ```\nconst A: &str = \"two words\";\nconst B: &str = \"word\";\n";
        let texts: Vec<String> = rust(text).into_iter().map(|(_, text, _)| text).collect();
        assert_eq!(texts, ["A.", "two words"]);
    }

    #[test]
    fn a_comment_in_c_is_a_summary_and_its_paragraphs() {
        let text = "/* Opens it.\n *\n * Twice. */\nint open(void);\n/* Closes it. */\n".to_owned();
        let found = of_c(&Source { path: "a.h".to_owned(), text });
        let found: Vec<_> =
            found.iter().map(|one| (one.line, one.text.as_str(), one.kind)).collect();
        let expected = [
            (1, "Opens it.", Kind::Summary),
            (3, "Twice.", Kind::Code),
            (5, "Closes it.", Kind::Summary),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_name_of_a_test_is_a_passage_and_that_of_a_helper_is_not() {
        let text = "#[test]\n#[cfg(unix)]\nfn a_b() {}\nfn helper() {}\n".to_owned();
        let found = of_rust(&Source { path: "a.rs".to_owned(), text }).unwrap();
        let [name] = found.as_slice() else { unreachable!("{found:?}") };
        assert_eq!((name.line, name.text.as_str(), name.kind), (3, "a_b", Kind::TestName));
    }

    #[test]
    fn a_point_in_a_number_a_version_or_an_abbreviation_does_not_end_a_sentence() {
        let text = "It takes 0.5 ms since 1.2.3. See `a.b` (e.g. here.) Done!".to_owned();
        let passage = Passage { path: "a.md".to_owned(), line: 1, text, kind: Kind::Document };
        let expected = ["It takes 0.5 ms since 1.2.3.", " See `a.b` (e.g. here.", ") Done!"];
        assert_eq!(passage.sentences(), expected);
    }

    #[test]
    fn a_document_has_no_summaries() {
        let text = "# Title\n\nWhat is it?\n\n| a | b |\n|---|---|\n| c d | e |\n".to_owned();
        let found = of_markdown(&Source { path: "a.md".to_owned(), text });
        let texts: Vec<&str> = found.iter().map(|passage| passage.text.as_str()).collect();
        assert_eq!(texts, ["Title", "What is it?", "a", "b", "c d", "e"]);
        assert!(found.iter().all(|passage| passage.kind == Kind::Document));
        assert_eq!(found[4].line, 7);
    }
}
