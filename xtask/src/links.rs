//! Links of documents: to files of the tree, to headings, and to the library's documentation.
//!
//! A document that is read in several places names an item by its page on docs.rs, which must be among the pages that
//! rustdoc has made of this tree. A link to a page elsewhere is not followed. A link of a document that the
//! documentation of the library includes may name an item; rustdoc checks that one.
//!
//! A link from one page of rustdoc's to another is written for one place, and an item that is exported again has its page
//! in two.

use alloc::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

use crate::host::Host;

/// The beginning of the library's pages on docs.rs.
const DOCS_RS: &str = "https://docs.rs/cachemaint/latest/";

/// A file of the tree and its text.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

/// Returns a line for each broken link of documents and of rustdoc's pages, which are there already.
pub(crate) fn faults(host: &Host) -> Result<Vec<String>> {
    let read = |path: String| {
        let text = fs::read_to_string(host.root().join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        Ok(Source { path, text })
    };
    let documents = host.sources("*.md")?.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    let pages = host.target_dir("doc");
    let mut faults = faults_of_documents(host.root(), &pages, &documents);
    faults.extend(faults_of_pages(&pages.join("cachemaint"))?);
    Ok(faults)
}

/// Returns a line for each broken link of documents. `pages` is the folder of rustdoc's pages.
fn faults_of_documents(root: &Path, pages: &Path, documents: &[Source]) -> Vec<String> {
    let links = documents
        .iter()
        .flat_map(|document| links(&document.text).into_iter().map(move |link| (document, link)));
    links
        .filter(|(document, link)| match link.strip_prefix(DOCS_RS) {
            Some(page) => !is_page(pages, page),
            None => !leads_somewhere(root, documents, document, link),
        })
        .map(|(document, link)| format!("{}: {link}", document.path))
        .collect()
}

/// Returns true if rustdoc has made the page, with the anchor if one is named.
fn is_page(pages: &Path, page: &str) -> bool {
    let (page, anchor) = page.split_once('#').unwrap_or((page, ""));
    let file = if page.ends_with('/') { format!("{page}index.html") } else { page.to_owned() };
    fs::read_to_string(pages.join(file))
        .is_ok_and(|html| anchor.is_empty() || html.contains(&format!("id=\"{anchor}\"")))
}

/// Returns a line for each link of rustdoc's pages in a folder that leads to no page of theirs.
fn faults_of_pages(folder: &Path) -> Result<Vec<String>> {
    let to_a_file = Regex::new(r##"href="([^"#?:$]+)["#?]"##)?;
    let mut faults = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            faults.extend(faults_of_pages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let html = fs::read_to_string(&path)?;
            let links = to_a_file.captures_iter(&html).map(|found| found.extract::<1>().1[0]);
            let is_broken = |link: &&str| !folder.join(link).exists();
            faults
                .extend(links.filter(is_broken).map(|link| format!("{}: {link}", path.display())));
        }
    }
    Ok(faults)
}

fn leads_somewhere(root: &Path, documents: &[Source], from: &Source, link: &str) -> bool {
    let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
    let is_item = link.contains("::") && !link.contains('/');
    if is_elsewhere || is_item {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { PathBuf::from(&from.path) } else { beside(&from.path, file) };
    let Some(document) = documents.iter().find(|document| Path::new(&document.path) == path) else {
        return heading.is_empty() && root.join(path).exists();
    };
    heading.is_empty() || headings(&document.text).contains(heading)
}

/// Returns the path below the root of a file that a document names relative to itself.
fn beside(document: &str, file: &str) -> PathBuf {
    let folder = Path::new(document).parent().unwrap_or_else(|| Path::new(""));
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

fn links(text: &str) -> Vec<String> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// Returns the anchors of the headings, as the pages of a repository and rustdoc name them.
fn headings(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut heading = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                found.extend(heading.take().map(|text| anchor(&text)));
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    found
}

fn anchor(heading: &str) -> String {
    let keep = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    heading
        .to_lowercase()
        .chars()
        .filter(|letter| keep(*letter))
        .collect::<String>()
        .replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::{Source, faults_of_documents, faults_of_pages};
    use std::fs;

    #[test]
    fn a_link_from_a_page_to_a_page_that_is_not_there_is_a_fault() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cachemaint/cache");
        fs::create_dir_all(&cache).unwrap();
        let html = r##"<a href="../struct.A.html#method.b">b</a> <a href="#c">c</a> <a href="../dax/struct.D.html">d</a>
            <a href="https://example.org/x">x</a> <a href="struct.E.html#e">e</a> <a href="${f}">f</a>"##;
        fs::write(cache.join("struct.C.html"), html).unwrap();
        fs::write(root.path().join("cachemaint/struct.A.html"), "").unwrap();
        let page = cache.join("struct.C.html").display().to_string();
        assert_eq!(
            faults_of_pages(root.path()).unwrap(),
            [format!("{page}: ../dax/struct.D.html"), format!("{page}: struct.E.html")]
        );
    }

    #[test]
    fn a_link_leads_to_a_file_or_a_heading_or_is_a_fault() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/a.svg"), "").unwrap();
        let pages = root.path().join("doc");
        fs::create_dir_all(pages.join("cachemaint/sim")).unwrap();
        fs::write(pages.join("cachemaint/sim/index.html"), "<h2 id=\"a\">").unwrap();
        let document =
            |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let readme = "# The `first` one, here\n[a](docs/a.svg) [b](docs/b.md#two) [c](#the-first-one-here)\n\
            [item](crate::Cache) [page](https://example.org/x#y)\n\
            [here](https://docs.rs/cachemaint/latest/cachemaint/sim/#a) [gone](https://docs.rs/cachemaint/latest/cachemaint/no/)\n\
            [gone](https://docs.rs/cachemaint/latest/cachemaint/sim/#b)\n";
        let other = "## Two\n[up](../README.md) ![gone](gone.svg) [heading](../README.md#no) [none](#none)\n";
        let documents = [document("README.md", readme), document("docs/b.md", other)];
        assert_eq!(
            faults_of_documents(root.path(), &pages, &documents),
            [
                "README.md: https://docs.rs/cachemaint/latest/cachemaint/no/",
                "README.md: https://docs.rs/cachemaint/latest/cachemaint/sim/#b",
                "docs/b.md: gone.svg",
                "docs/b.md: ../README.md#no",
                "docs/b.md: #none"
            ]
        );
    }
}
