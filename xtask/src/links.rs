//! Links of documents: to files of the tree, to headings, and to pages on docs.rs, which rustdoc has made of this tree. A
//! link to a page elsewhere is not followed, and one that names an item is rustdoc's. The guide's pages are a book too: what
//! they link to is in their folder. A name `Type::item` in code must be on rustdoc's page of that type.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use xtask::host::Host;

const DOCS_RS: &str = "https://docs.rs/";
/// The folder of the book.
const BOOK: &str = "docs";

/// The links of a document, the names in its code, and the anchors of its headings.
#[derive(Debug, Default)]
struct Document {
    links: Vec<String>,
    names: Vec<String>,
    anchors: Vec<String>,
}

/// Returns a line for each broken link. rustdoc's pages must be there already.
pub(crate) fn faults(host: &Host) -> Result<Vec<String>> {
    let read = |path: String| -> Result<_> {
        let text = fs::read_to_string(host.root().join(&path));
        Ok((PathBuf::from(&path), Document::of(&text.with_context(|| path)?)))
    };
    let documents = host.sources("*.md")?.into_iter().map(read).collect::<Result<_>>()?;
    let pages = host.target_dir("doc");
    let mut faults = broken(host.root(), &pages, &documents);
    faults.extend(unknown(&pages, &documents)?);
    Ok(faults)
}

/// Returns a line for each name of an item that its type does not have. Types of other packages have no page.
fn unknown(pages: &Path, documents: &BTreeMap<PathBuf, Document>) -> Result<Vec<String>> {
    let types = pages_of_types(pages)?;
    let has = |page: &PathBuf, item: &str| {
        fs::read_to_string(page).is_ok_and(|html| html.contains(&format!(".{item}\"")))
    };
    let mut unknown = Vec::new();
    // The engines' page names types of other packages.
    for (path, document) in documents.iter().filter(|(path, _)| !path.starts_with("testing")) {
        for (of, item) in document.names.iter().filter_map(|name| last_two(name)) {
            if types.get(of).is_some_and(|found| !found.iter().any(|page| has(page, item))) {
                unknown.push(format!("{}: {of} has no {item}", path.display()));
            }
        }
    }
    Ok(unknown)
}

/// Returns the last two names of a path, without the code around them.
fn last_two(path: &str) -> Option<(&str, &str)> {
    let is_end = |letter: char| !letter.is_alphanumeric() && letter != '_';
    let mut parts = path.rsplit("::");
    let (item, of) = (parts.next()?, parts.next()?);
    Some((of.rsplit(is_end).next()?, item.split(is_end).next()?))
}

/// Returns rustdoc's pages of each type.
fn pages_of_types(pages: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut types: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![pages.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match name.split('.').collect::<Vec<_>>()[..] {
                ["struct" | "enum" | "trait" | "union", name, "html"] => {
                    types.entry(name.to_owned()).or_default().push(path);
                }
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    Ok(types)
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
                    let paths = words.split_whitespace().filter(|word| word.contains("::"));
                    document.names.extend(paths.map(str::to_owned));
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
    use super::{Document, broken, unknown};
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
    #[test]
    fn a_name_is_on_the_page_of_its_type_or_unknown() {
        let pages = tempfile::tempdir().unwrap();
        fs::create_dir(pages.path().join("cachemaint")).unwrap();
        fs::write(pages.path().join("cachemaint/struct.Cache.html"), "<a id=\"method.host\">")
            .unwrap();
        let text = "`Cache::host()?` `Cache::guest` `Other::item` `cachemaint::Cache`\n";
        let documents = [(PathBuf::from("a.md"), Document::of(text))];
        let found = unknown(pages.path(), &documents.into()).unwrap();
        assert_eq!(found, ["a.md: Cache has no guest"]);
    }
}
