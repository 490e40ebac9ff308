//! Links of documents: to files of the tree, to headings, and to pages on docs.rs, which rustdoc has made of this tree. A
//! link to a page elsewhere is not followed, and one that names an item is rustdoc's. The guide's pages are a book too: what
//! they link to is in their folder.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use xtask::host::Host;

const DOCS_RS: &str = "https://docs.rs/";
/// The folder of the book.
const BOOK: &str = "docs";

/// The links of a document, and the anchors of its headings.
#[derive(Debug, Default)]
struct Document {
    links: Vec<String>,
    anchors: Vec<String>,
}

/// Returns a line for each broken link. rustdoc's pages must be there already.
pub(crate) fn faults(host: &Host) -> Result<Vec<String>> {
    let read = |path: String| -> Result<_> {
        let text = fs::read_to_string(host.root().join(&path));
        Ok((PathBuf::from(&path), Document::of(&text.with_context(|| path)?)))
    };
    let documents = host.sources("*.md")?.into_iter().map(read).collect::<Result<_>>()?;
    Ok(broken(host.root(), &host.target_dir("doc"), &documents))
}

fn broken(root: &Path, pages: &Path, documents: &BTreeMap<PathBuf, Document>) -> Vec<String> {
    let all = documents.iter().flat_map(|(path, document)| {
        document.links.iter().map(move |link| (path.as_path(), link.as_str()))
    });
    let leads = |(path, link): &(&Path, &str)| match link.strip_prefix(DOCS_RS) {
        Some(page) => is_page(pages, page),
        None => leads_somewhere(root, documents, path, link),
    };
    let broken = all.filter(|link| !leads(link));
    broken.map(|(path, link)| format!("{}: {link}", path.display())).collect()
}

/// Returns true if rustdoc has made `PACKAGE/VERSION/PAGE`, with the anchor if one is named. A page of another package is
/// elsewhere.
fn is_page(pages: &Path, page: &str) -> bool {
    let mut parts = page.splitn(3, '/');
    let (Some(package), Some("latest"), Some(page)) = (parts.next(), parts.next(), parts.next())
    else {
        return true;
    };
    if !pages.join(package.replace('-', "_")).is_dir() {
        return true;
    }
    let (page, anchor) = page.split_once('#').unwrap_or((page, ""));
    let file = if page.ends_with('/') { format!("{page}index.html") } else { page.to_owned() };
    fs::read_to_string(pages.join(file))
        .is_ok_and(|html| anchor.is_empty() || html.contains(&format!("id=\"{anchor}\"")))
}

fn leads_somewhere(
    root: &Path,
    documents: &BTreeMap<PathBuf, Document>,
    from: &Path,
    link: &str,
) -> bool {
    let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
    let is_item = link.contains("::") && !link.contains('/');
    if is_elsewhere || is_item {
        return true;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { from.to_path_buf() } else { beside(from, file) };
    if from.starts_with(BOOK) && !path.starts_with(BOOK) {
        return false;
    }
    match documents.get(&path) {
        Some(document) => anchor.is_empty() || document.anchors.iter().any(|one| one == anchor),
        None => anchor.is_empty() && root.join(path).exists(),
    }
}

/// Returns the path below the root of a file that a document names relative to itself.
fn beside(document: &Path, file: &str) -> PathBuf {
    let folder = document.parent().unwrap_or_else(|| Path::new(""));
    let mut path = PathBuf::new();
    for component in folder.join(file).components() {
        match component {
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

impl Document {
    fn of(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    document.anchors.extend(heading.take().map(|text| anchor(&text)));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        document
    }
}

/// Returns the anchor of a heading, as the pages of a repository and rustdoc name it.
fn anchor(heading: &str) -> String {
    let keep = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    heading.to_lowercase().chars().filter(keep).collect::<String>().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::{Document, broken};
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn a_link_leads_to_a_file_a_heading_or_a_page_or_is_broken() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/a.svg"), "").unwrap();
        let pages = root.path().join("doc");
        fs::create_dir_all(pages.join("cachemaint/sim")).unwrap();
        fs::write(pages.join("cachemaint/sim/index.html"), "<h2 id=\"a\">").unwrap();
        let readme = "# The `first` one, here\n[a](docs/a.svg) [b](docs/b.md#two) [c](#the-first-one-here)\n\
            [item](crate::Cache) [page](https://example.org/x#y) [other](https://docs.rs/clap/latest/clap/)\n\
            [here](https://docs.rs/cachemaint/latest/cachemaint/sim/#a) [gone](https://docs.rs/cachemaint/latest/cachemaint/no/)\n\
            [gone](https://docs.rs/cachemaint/latest/cachemaint/sim/#b)\n";
        let other = "## Two\n[out of the book](../README.md) ![gone](gone.svg) [heading](../README.md#no) [none](#none)\n";
        let documents = [("README.md", readme), ("docs/b.md", other)];
        let documents = documents.map(|(path, text)| (PathBuf::from(path), Document::of(text)));
        assert_eq!(
            broken(root.path(), &pages, &documents.into()),
            [
                "README.md: https://docs.rs/cachemaint/latest/cachemaint/no/",
                "README.md: https://docs.rs/cachemaint/latest/cachemaint/sim/#b",
                "docs/b.md: ../README.md",
                "docs/b.md: gone.svg",
                "docs/b.md: ../README.md#no",
                "docs/b.md: #none"
            ]
        );
    }
}
