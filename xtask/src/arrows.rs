//! The order of the library's rooms, in imports and in features.
//!
//! The table "Layers" of `CONTRIBUTING.md` lists the rooms from the bottom to the top. A room may use itself and the
//! rooms above it in the table. A feature belongs to the last room that lists it: that room, those further down, and
//! each other room that lists it may name it. A feature of no room is free. No room may import all names of the crate's
//! root, since those imports do not show which rooms it uses.
//!
//! Tests and comments are left out. Paths inside macros count.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

use crate::host::Host;
use crate::report::{Finding, Report, Tests};

const LAYERS: &str = "CONTRIBUTING.md";
const ROOT: &str = "src/lib.rs";

pub(crate) fn arrows(host: &Host, report: &mut Report) -> Result<()> {
    report.check("rooms", "no room uses one further down, nor names its features", || {
        let files = [host.sources("arch/*.rs")?, host.sources("src/*.rs")?].concat();
        let faults = faults(host.root(), &files)?;
        ensure!(faults.is_empty(), "{} arrows back:\n{}", faults.len(), faults.join("\n"));
        Ok(Finding::passed(Tests::default()))
    })
}

/// Returns a line for each arrow against the order, in these files below `root`.
fn faults(root: &Path, files: &[String]) -> Result<Vec<String>> {
    let read = |file: &str| {
        fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
    };
    let mut library = Library::default();
    for file in files {
        let tokens: TokenStream =
            read(file)?.parse().map_err(|error| anyhow!("{file}: {error}"))?;
        library.scan(tokens, file, &module(file));
    }
    let Library { mentions, tests, reexports } = library;
    let order = Order { rooms: rooms(&read(LAYERS)?)?, reexports };
    let is_tested = |mention: &&Mention| !tests.iter().any(|test| mention.module.starts_with(test));
    Ok(mentions.iter().filter(is_tested).filter_map(|mention| order.fault(mention)).collect())
}

/// Returns the names of the modules from the crate's root to that of a file.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if file == ROOT { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// A row of the table.
#[derive(Debug)]
struct Room {
    name: String,
    features: Vec<String>,
}

/// Returns the rooms of the table, from the bottom to the top.
fn rooms(layers: &str) -> Result<Vec<Room>> {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = layers.lines().skip_while(|line| *line != "## Layers").skip(1);
    let rows = rows.take_while(|line| !line.starts_with("## "));
    let rooms: Vec<Room> = rows
        .filter_map(|row| row.strip_prefix("| ")?.split_once('|'))
        .filter_map(|(room, others)| {
            let name = Vec::into_iter(names(room)).next()?;
            Some(Room { name, features: names(others.split('|').next()?) })
        })
        .collect();
    ensure!(!rooms.is_empty(), "{LAYERS} has no table of rooms under \"## Layers\"");
    Ok(rooms)
}

/// The name of a room or of a feature in the code of a room.
#[derive(Debug)]
struct Mention {
    file: String,
    line: usize,
    module: Vec<String>,
    named: Named,
}

#[derive(Debug)]
enum Named {
    /// A name in the crate's root.
    Item(String),
    /// All names in the crate's root, by a glob import.
    All,
    Feature(String),
}

struct Order {
    rooms: Vec<Room>,
    /// The room of each name that the crate's root re-exports.
    reexports: BTreeMap<String, String>,
}

impl Order {
    fn place(&self, name: &str) -> Option<usize> {
        self.rooms.iter().position(|room| room.name == name)
    }

    /// Returns the mention in words, if it is against the order.
    fn fault(&self, mention: &Mention) -> Option<String> {
        let Mention { file, line, module, named } = mention;
        let room = module.first()?;
        let fault = match self.place(room) {
            Some(place) => match named {
                Named::Item(name) => self.use_of(place, name),
                Named::All => Some(format!(
                    "{room} imports all names of the crate's root, those of rooms further down too: import what it uses \
                     by name"
                )),
                Named::Feature(name) => self.feature(place, name),
            }?,
            None => format!("{room} has no row in the table of {LAYERS}: add one"),
        };
        Some(format!("{file}:{line}: {fault}"))
    }

    fn use_of(&self, place: usize, name: &str) -> Option<String> {
        let (room, used) =
            (&self.rooms[place].name, self.reexports.get(name).map_or(name, |room| room));
        match self.place(used) {
            None => Some(format!(
                "{room} uses {used}, which has no row in the table of {LAYERS}: add one"
            )),
            Some(other) if other <= place => None,
            Some(_) => Some(format!(
                "{room} uses {used}, which is further down in the table of {LAYERS}: move the code to {used}, or what it \
                 needs up to {room}"
            )),
        }
    }

    fn feature(&self, place: usize, name: &str) -> Option<String> {
        let lists = |room: &Room| room.features.iter().any(|feature| feature == name);
        let owner = self.rooms.iter().rposition(lists)?;
        let Room { name: room, .. } = &self.rooms[place];
        let is_allowed = place >= owner || lists(&self.rooms[place]);
        (!is_allowed).then(|| {
            let owner = &self.rooms[owner].name;
            format!(
                "{room} names the feature {name}, which belongs to {owner}: move the code there, or list {name} in the \
                 row of {room} in {LAYERS}"
            )
        })
    }
}

/// The library's code as far as it was read.
#[derive(Debug, Default)]
struct Library {
    mentions: Vec<Mention>,
    /// Modules that only tests compile.
    tests: Vec<Vec<String>>,
    reexports: BTreeMap<String, String>,
}

impl Library {
    /// Reads tokens of a module, those in groups too.
    fn scan(&mut self, tokens: TokenStream, file: &str, module: &[String]) {
        let inner = |name: &Ident| [module, &[name.to_string()]].concat();
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let [first, after @ ..] = rest {
            rest = after;
            match (first, after) {
                (hash, [TokenTree::Group(attribute), item @ ..])
                    if is_punct(hash, '#') && is_for_tests(attribute) =>
                {
                    self.tests.extend(declared(item).map(inner));
                    rest = after_item(item);
                }
                (
                    TokenTree::Ident(word),
                    [TokenTree::Ident(name), TokenTree::Group(body), others @ ..],
                ) if word == "mod" => {
                    self.scan(body.stream(), file, &inner(name));
                    rest = others;
                }
                (TokenTree::Ident(word), _) if word == "use" && module.is_empty() => {
                    self.reexport(after);
                }
                // The root may name everything.
                (TokenTree::Ident(_), _) if file == ROOT => {}
                (TokenTree::Ident(word), _) => {
                    self.word(word, after, file, module);
                    rest = if word == "super" { after_supers(after).1 } else { after };
                }
                (TokenTree::Group(group), _) => self.scan(group.stream(), file, module),
                _ => {}
            }
        }
    }

    /// Notes the room or feature that `word` introduces, if any.
    fn word(&mut self, word: &Ident, after: &[TokenTree], file: &str, module: &[String]) {
        let named = match word.to_string().as_str() {
            "crate" => after_colons(after).map(items).unwrap_or_default(),
            "super" => match after_supers(after) {
                (supers, rest) if supers == module.len() => items(rest),
                _ => Vec::new(),
            },
            "feature" => value(after).map(Named::Feature).into_iter().collect(),
            _ => Vec::new(),
        };
        let line = word.span().start().line;
        let mention =
            |named| Mention { file: file.to_owned(), line, module: module.to_vec(), named };
        self.mentions.extend(named.into_iter().map(mention));
    }

    /// Notes the names of a `use` in the root as names of the room that its path begins with.
    fn reexport(&mut self, path: &[TokenTree]) {
        let mut names = path.iter().take_while(|token| !is_punct(token, ';')).flat_map(idents);
        if let Some(room) = names.next() {
            self.reexports.extend(names.map(|name| (name, room.clone())));
        }
    }
}

/// Returns true if an attribute is a `cfg` that only tests satisfy.
fn is_for_tests(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match &tokens[..] {
        [TokenTree::Ident(name), TokenTree::Group(predicate)] if name == "cfg" => {
            needs_test(predicate.stream())
        }
        _ => false,
    }
}

/// Returns true if the only predicate in `tokens`, or one of several that all must hold, is `test`.
fn needs_test(tokens: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.split(|token| is_punct(token, ',')).any(|predicate| match predicate {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(all)] => {
            name == "all" && needs_test(all.stream())
        }
        _ => false,
    })
}

/// Returns the name of the module that `mod NAME` declares, if the item is one.
fn declared(item: &[TokenTree]) -> Option<&Ident> {
    item.windows(2).take_while(|pair| !is_punct(&pair[0], ';')).find_map(|pair| match pair {
        [TokenTree::Ident(word), TokenTree::Ident(name)] if word == "mod" => Some(name),
        _ => None,
    })
}

/// Returns the tokens after an item, which ends with a semicolon or a body.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(token, ';'),
    };
    let end = tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1);
    &tokens[end..]
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Returns the tokens after `::`, if there is one.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [one, two, rest @ ..] if is_punct(one, ':') && is_punct(two, ':') => Some(rest),
        _ => None,
    }
}

/// Returns the number of `super` in a row, of which the first was read, and the path after them.
fn after_supers(mut tokens: &[TokenTree]) -> (usize, &[TokenTree]) {
    let mut supers = 1;
    while let Some(rest) = after_colons(tokens) {
        tokens = rest;
        match rest {
            [TokenTree::Ident(word), after @ ..] if word == "super" => {
                supers += 1;
                tokens = after;
            }
            _ => break,
        }
    }
    (supers, tokens)
}

/// Returns the names that a path goes on with: one, or several in braces.
fn items(path: &[TokenTree]) -> Vec<Named> {
    match path.first() {
        Some(TokenTree::Group(group)) => {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            tokens
                .split(|token| is_punct(token, ','))
                .filter_map(|path| first_named(path.first()?))
                .collect()
        }
        Some(token) => first_named(token).into_iter().collect(),
        None => Vec::new(),
    }
}

fn first_named(token: &TokenTree) -> Option<Named> {
    if is_punct(token, '*') {
        return Some(Named::All);
    }
    idents(token).into_iter().next().map(Named::Item)
}

/// Returns the identifiers of a token.
fn idents(token: &TokenTree) -> Vec<String> {
    match token {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => {
            group.stream().into_iter().flat_map(|token| idents(&token)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the string after `=`, if `tokens` begin with that.
fn value(tokens: &[TokenTree]) -> Option<String> {
    match tokens {
        [equals, TokenTree::Literal(value), ..] if is_punct(equals, '=') => {
            Some(value.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::faults;

    const LAYERS: &str = "\
## Layers
| room | features | contents |
|---|---|---|
| `arch` | `raw` | instructions |
| `medium` | | a trait |
| `dax` | `dax` | files, not `log` |
| `log` | `log`, `raw` | records |

## Other
| `not a room` | |
";

    /// Returns the faults of a tree of these files besides the table.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = tempfile::tempdir().unwrap();
        for (file, text) in files.iter().chain(&[("CONTRIBUTING.md", LAYERS)]) {
            let file = tree.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let files: Vec<String> = files.iter().map(|(file, _)| (*file).to_owned()).collect();
        faults(tree.path(), &files).unwrap()
    }

    /// Returns the faults of a medium of this text, in a crate with all rooms.
    fn found_in_medium(text: &str) -> Vec<String> {
        let root = "\
#[path = \"../arch/mod.rs\"] mod arch;
mod medium; mod dax; mod log;
pub use dax::{Error, file::File as Opened};
#[cfg(test)] mod tests;
";
        let files =
            [("arch/mod.rs", ""), ("src/lib.rs", root), ("src/dax.rs", ""), ("src/log.rs", "")];
        found(&[&files[..], &[("src/medium.rs", text)]].concat())
    }

    #[track_caller]
    fn one(text: &str, starts: &str) {
        let faults = found_in_medium(text);
        assert!(matches!(&faults[..], [fault] if fault.starts_with(starts)), "{text}: {faults:?}");
    }

    #[test]
    fn an_import_of_a_room_further_down_is_found_with_its_line() {
        one("\nuse crate::dax::File;", "src/medium.rs:2: medium uses dax, which is further down");
        one("use crate::{arch::Point, log};", "src/medium.rs:1: medium uses log,");
        one("fn f() { super::dax::open() }", "src/medium.rs:1: medium uses dax,");
        one("mod inner { use super::super::dax; }", "src/medium.rs:1: medium uses dax,");
    }

    #[test]
    fn a_glob_import_of_the_root_is_refused_since_it_names_no_room() {
        let fault = "src/medium.rs:1: medium imports all names of the crate's root";
        one("use crate::*;", fault);
        one("use crate::{arch::Point, *};", fault);
        one("fn f() { use super::*; }", fault);
        one("mod inner { use super::super::*; }", fault);
        let medium = "mod inner { use super::*; } use crate::arch::*; #[cfg(test)] use crate::*;";
        assert_eq!(found_in_medium(medium), [""; 0]);
    }

    #[test]
    fn a_name_that_the_root_reexports_counts_as_its_room() {
        one("use crate::Error;", "src/medium.rs:1: medium uses dax,");
        one("use crate::Opened;", "src/medium.rs:1: medium uses dax,");
    }

    #[test]
    fn a_path_in_a_macro_or_in_a_file_of_a_module_is_found() {
        one("cfg_if! { if #[cfg(unix)] { use crate::dax; } }", "src/medium.rs:1: medium uses dax,");
        let files = [
            ("src/lib.rs", "mod medium;"),
            ("src/medium/mod.rs", "systems! { linux bsd }"),
            ("src/medium/linux.rs", "use super::super::log;"),
            ("src/medium/bsd/one.rs", "use super::super::super::dax;"),
        ];
        let faults = found(&files);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("src/medium/linux.rs:1: medium uses log,"));
        assert!(faults[1].starts_with("src/medium/bsd/one.rs:1: medium uses dax,"));
    }

    #[test]
    fn uses_upwards_comments_and_tests_are_not_faults() {
        let medium = "\
//! Used by [`dax`](crate::dax).
use crate::arch::{self, dax};
use self::words::dax;
mod words { use super::log; }
#[cfg(all(test, unix))] use crate::dax::{File, Error};
#[cfg(test)] mod tests { use crate::log; }
";
        assert_eq!(found_in_medium(medium), [""; 0]);
        let files = [
            ("src/medium/mod.rs", "#[cfg(test)] mod tests; #[cfg(all(test, unix))] mod more;"),
            ("src/medium/tests.rs", "use crate::log;"),
            ("src/medium/more/deep.rs", "use crate::log;"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn code_that_tests_and_others_compile_is_code() {
        one("#[cfg(any(test, unix))] use crate::dax;", "src/medium.rs:1: medium uses dax,");
    }

    #[test]
    fn a_feature_of_a_room_further_down_is_refused() {
        one(
            "#[cfg(any(feature = \"std\", feature = \"dax\"))] fn f() {}",
            "src/medium.rs:1: medium names the feature dax, which belongs to dax:",
        );
        // The feature `raw` belongs to `log`, and `arch` lists it as well.
        one(
            "#[cfg(feature = \"raw\")] fn f() {}",
            "src/medium.rs:1: medium names the feature raw,",
        );
        let files =
            [("src/lib.rs", "mod arch;"), ("src/arch.rs", "#[cfg(feature = \"raw\")] fn f() {}")];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn a_room_without_a_row_is_refused() {
        one("use crate::new::Thing;", "src/medium.rs:1: medium uses new, which has no row");
        let files = [("src/lib.rs", "mod new;"), ("src/new.rs", "use crate::medium;")];
        assert!(found(&files)[0].starts_with("src/new.rs:1: new has no row"));
    }
}
