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
    /// True for the first paragraph of a comment, which names the item.
    pub(super) is_summary: bool,
}

/// Returns the passages of the comments and strings of a Rust file.
pub(super) fn of_rust(source: &Source) -> Result<Vec<Passage>> {
    let tokens: TokenStream =
        source.text.parse().map_err(|error| anyhow!("{}: {error}", source.path))?;
    let mut found = of_comments(source);
    add_strings(tokens, &source.path, &mut found);
    Ok(found)
}

/// Returns the passages of a document.
pub(super) fn of_markdown(source: &Source) -> Vec<Passage> {
    let mut found = of_text(&source.path, 1, &source.text);
    for passage in &mut found {
        passage.is_summary = false;
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
        first.is_summary = true;
    }
    found
}

fn add(current: &mut Option<Passage>, path: &str, text: &str, at: usize, words: &str) {
    let line = 1 + text[..at].matches('\n').count();
    let empty = || Passage { path: path.to_owned(), line, text: String::new(), is_summary: false };
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
                    found.push(Passage { path: path.to_owned(), line, text, is_summary: false });
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
    use super::{Source, of_markdown, of_rust};

    fn rust(text: &str) -> Vec<(usize, String, bool)> {
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        let found = of_rust(&source).unwrap().into_iter();
        found.map(|passage| (passage.line, passage.text, passage.is_summary)).collect()
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
    fn a_document_has_no_summaries() {
        let text = "# Title\n\nWhat is it?\n\n| a | b |\n|---|---|\n| c d | e |\n".to_owned();
        let found = of_markdown(&Source { path: "a.md".to_owned(), text });
        let texts: Vec<&str> = found.iter().map(|passage| passage.text.as_str()).collect();
        assert_eq!(texts, ["Title", "What is it?", "a", "b", "c d", "e"]);
        assert!(found.iter().all(|passage| !passage.is_summary));
        assert_eq!(found[4].line, 7);
    }
}
