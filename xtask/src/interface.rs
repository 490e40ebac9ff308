//! The public interface: every item that a user of the library can name.
//!
//! `tests/interface.txt` lists the items with every feature, so that a change is on purpose and its diff is reviewed.
//! Blanket and derived impls are left out. So are auto traits, unless threads cannot send or share a type: rustdoc lists a
//! generic one as such too if that depends on bounds that it cannot write. An item with several public names has its members below
//! the first name. The inherent methods of a type are sorted together, so that moving code between impl blocks is not a
//! change.
//!
//! The list is made from rustdoc's JSON. Its format and the paths in it change with the compiler, so the comparison is
//! made only with the compiler that the first line of the list names.
//!
//! cargo-semver-checks is not used: it compares with a released version, and none exists yet.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use public_api::PublicItem;
use public_api::tokens::Token;

use crate::command::Cmd;
use crate::host::Host;
use crate::output::Output;
use crate::report::{Finding, Report, Tests};
use crate::toolchain::{self, Compiler};

const GOLDEN: &str = "tests/interface.txt";
/// The target of the list: others have other instructions, and some features exist only on some systems.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Compares the list with the golden.
pub(crate) fn check(host: &Host, report: &mut Report) -> Result<()> {
    let compiler = match toolchain::in_use(host, TARGET) {
        Ok(compiler) => compiler,
        Err(reason) => return report.skip("items", format!("{reason:#}")),
    };
    let golden = fs::read_to_string(GOLDEN)
        .with_context(|| format!("{GOLDEN}: make it with `cargo xtask interface --bless`"))?;
    let made_by = golden.lines().next().unwrap_or_default();
    if made_by != first_line(&compiler) {
        let why = format!("{GOLDEN} begins with `{made_by}`, and this is {}", compiler.name);
        return report.skip("items", why);
    }
    report.check("items", "the public items are those that were reviewed", || {
        let text = text(host, &compiler)?;
        let file = host.target_dir("interface").join("interface.txt");
        fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        let diff = Cmd::new("git")
            .words("diff --no-index --no-color --unified=0")
            .args([GOLDEN, &file.display().to_string()]);
        ensure!(
            text == golden,
            "review, then `cargo xtask interface --bless`:\n{}",
            diff.ending()?.1
        );
        Ok(Finding::passed(Tests::default()))
    })
}

/// Rewrites the golden.
pub(crate) fn bless(host: &Host, report: &mut Report) -> Result<()> {
    let compiler = match toolchain::in_use(host, TARGET) {
        Ok(compiler) => compiler,
        Err(reason) => return report.skip("items", format!("{reason:#}")),
    };
    report.check("items", "rewrites the golden", || {
        fs::write(GOLDEN, text(host, &compiler)?)
            .with_context(|| format!("cannot write {GOLDEN}"))?;
        Ok(Finding::passed(Tests::default()))
    })
}

fn first_line(compiler: &Compiler) -> String {
    format!("# {} for {TARGET}", compiler.name)
}

/// Returns the list, and prints the number of types and functions of each module.
fn text(host: &Host, compiler: &Compiler) -> Result<String> {
    let items = once(items(host, compiler)?);
    print_counts(&items)?;
    Ok(format!("{}\n{}", first_line(compiler), lines(&items)))
}

/// Reads the public items from the JSON of the library's documentation, sorted by their paths.
fn items(host: &Host, compiler: &Compiler) -> Result<Vec<Item>> {
    let folder = host.target_dir("interface");
    compiler
        .cargo("rustdoc -p cachemaint --lib --all-features --target")
        .arg(TARGET)
        .words("-- -Z unstable-options --output-format json")
        // The JSON is unstable; the variable permits it for this crate alone.
        .env("RUSTC_BOOTSTRAP", "cachemaint")
        // The command would replace the documentation in the usual folder.
        .env("CARGO_TARGET_DIR", folder.display().to_string())
        .read()?;
    let json = folder.join(TARGET).join("doc/cachemaint.json");
    let interface = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| {
            format!(
                "the crate public-api cannot read the JSON of {}: take a version of it that can",
                compiler.name
            )
        })?;
    Ok(interface.items().map(Item::from).filter(|item| !item.is_usual_auto_trait()).collect())
}

/// A public item by one of its names.
#[derive(Clone, Debug)]
struct Item {
    id: u32,
    /// The module, type, trait or impl that holds it.
    parent: Option<u32>,
    /// The keyword of its kind, as in `struct`; an impl, a field and a variant have none.
    kind: Option<String>,
    line: String,
}

impl From<&PublicItem> for Item {
    fn from(item: &PublicItem) -> Self {
        let kind = item.tokens().find_map(|token| match token {
            Token::Kind(kind) => Some(kind.clone()),
            _ => None,
        });
        let parent = item.parent_id().map(|parent| parent.0);
        Self { id: item.id().0, parent, kind, line: item.to_string() }
    }
}

impl Item {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Returns true for an auto trait, unless threads cannot send or share the type.
    fn is_usual_auto_trait(&self) -> bool {
        const TRAITS: [&str; 7] = [
            "core::marker::Freeze for",
            "core::marker::Send for",
            "core::marker::Sync for",
            "core::marker::Unpin for",
            "core::marker::UnsafeUnpin for",
            "core::panic::unwind_safe::RefUnwindSafe for",
            "core::panic::unwind_safe::UnwindSafe for",
        ];
        let is_unusual =
            ["!core::marker::Send", "!core::marker::Sync"].map(|name| self.line.contains(name));
        let is_auto = TRAITS.iter().any(|name| self.line.contains(name));
        self.is_impl() && is_auto && !is_unusual.contains(&true)
    }

    fn is_impl(&self) -> bool {
        self.line.starts_with("impl")
    }

    fn is_inherent_impl(&self) -> bool {
        self.is_impl() && !self.line.contains(" for ")
    }
}

/// Leaves out the members of an item that were listed below another name of it, and trait impls that were listed below
/// the type.
fn once(items: Vec<Item>) -> Vec<Item> {
    let modules: BTreeSet<u32> =
        items.iter().filter(|item| item.is("mod")).map(|item| item.id).collect();
    let mut listed = BTreeSet::new();
    let is_new = |item: &Item| {
        let is_name = item.parent.is_none_or(|parent| modules.contains(&parent));
        listed.insert(item.id) || is_name
    };
    items.into_iter().filter(is_new).collect()
}

/// Returns the items, one per line, with the members of each impl sorted and those of equal inherent impls together.
fn lines(items: &[Item]) -> String {
    let impls: BTreeSet<u32> =
        items.iter().filter(|item| item.is_impl()).map(|item| item.id).collect();
    let mut blocks: Vec<(&Item, Vec<&str>)> = Vec::new();
    for item in items {
        match blocks.last_mut() {
            Some((_, members)) if item.parent.is_some_and(|parent| impls.contains(&parent)) => {
                members.push(&item.line);
            }
            Some((head, _)) if item.is_inherent_impl() && head.line == item.line => {}
            _ => blocks.push((item, Vec::new())),
        }
    }
    let mut text = String::new();
    for (head, mut members) in blocks {
        members.sort_unstable();
        for line in [head.line.as_str()].into_iter().chain(members) {
            text.extend([line, "\n"]);
        }
    }
    text
}

/// The sizes of a module's interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Structs, enums, unions, traits and aliases.
    types: u32,
    /// Functions and methods, without those of trait impls.
    functions: u32,
}

/// Counts each item once, in the module where it is listed first. A module inside another one is counted by itself.
fn counts(items: &[Item]) -> BTreeMap<&str, Count> {
    let by_id: BTreeMap<u32, &Item> = items.iter().rev().map(|item| (item.id, item)).collect();
    let parent = |item: &Item| item.parent.and_then(|parent| by_id.get(&parent).copied());
    let mut counts = BTreeMap::new();
    for item in by_id.values() {
        let Some(holder) = parent(item) else { continue };
        let is_type = ["struct", "enum", "union", "trait", "type"].map(|kind| item.is(kind));
        let holds_functions = holder.is("mod") || holder.is("trait") || holder.is_inherent_impl();
        let mut module = holder;
        while let Some(outer) = parent(module).filter(|_| !module.is("mod")) {
            module = outer;
        }
        let name = module.line.trim_start_matches("pub mod ");
        let count: &mut Count = counts.entry(name).or_default();
        count.types += u32::from(holder.is("mod") && is_type.contains(&true));
        count.functions += u32::from(holds_functions && item.is("fn"));
    }
    counts
}

fn print_counts(items: &[Item]) -> Result<()> {
    let mut table = String::from("types functions\n");
    let mut all = Count::default();
    for (module, Count { types, functions }) in counts(items) {
        writeln!(table, "{types:5} {functions:9}  {module}")?;
        all.types += types;
        all.functions += functions;
    }
    writeln!(table, "{:5} {:9}  all", all.types, all.functions)?;
    Ok(Output.write_all(table.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::{Count, Item, counts, lines, once};

    fn item(id: u32, parent: Option<u32>, kind: &str, line: &str) -> Item {
        let kind = (!kind.is_empty()).then(|| kind.to_owned());
        Item { id, parent, kind, line: line.to_owned() }
    }

    /// A crate with a type of two names, which has two inherent impls, and a trait.
    fn items() -> Vec<Item> {
        vec![
            item(1, None, "mod", "pub mod a"),
            item(2, Some(1), "mod", "pub mod a::log"),
            item(3, Some(2), "struct", "pub struct a::log::Log"),
            item(4, Some(3), "fn", "pub a::log::Log::hook: fn()"),
            item(5, Some(3), "", "impl a::log::Log"),
            item(6, Some(5), "fn", "pub fn a::log::Log::len()"),
            item(7, Some(3), "", "impl a::log::Log"),
            item(8, Some(7), "fn", "pub fn a::log::Log::end()"),
            item(9, Some(3), "", "impl<T> a::log::Read<T> for a::log::Log"),
            item(10, Some(9), "type", "pub type a::log::Log::Error = ()"),
            item(11, Some(9), "fn", "pub fn a::log::Log::read()"),
            item(12, Some(2), "trait", "pub trait a::log::Read"),
            item(13, Some(12), "fn", "pub fn a::log::Read::read()"),
            item(9, Some(12), "", "impl<T> a::log::Read<T> for a::log::Log"),
            item(11, Some(9), "fn", "pub fn a::log::Log::read()"),
            item(3, Some(1), "struct", "pub struct a::Log"),
            item(5, Some(3), "", "impl a::log::Log"),
            item(6, Some(5), "fn", "pub fn a::log::Log::len()"),
            item(14, Some(1), "fn", "pub fn a::open()"),
        ]
    }

    #[test]
    fn members_of_an_item_are_listed_below_its_first_name() {
        let text = lines(&once(items()));
        assert_eq!(text.matches("Log::len").count(), 1);
        assert_eq!(text.matches("for a::log::Log").count(), 1);
        assert!(text.ends_with("pub trait a::log::Read\npub fn a::log::Read::read()\npub struct a::Log\npub fn a::open()\n"));
    }

    #[test]
    fn methods_moved_between_inherent_impls_change_nothing() {
        let mut moved = items();
        for item in moved.iter_mut().filter(|item| item.id == 6 || item.id == 8) {
            item.parent = if item.id == 6 { Some(7) } else { Some(5) };
        }
        moved.swap(5, 7);
        assert_eq!(lines(&once(moved)), lines(&once(items())));
        let text = lines(&once(items()));
        assert!(text.contains(
            "impl a::log::Log\npub fn a::log::Log::end()\npub fn a::log::Log::len()\nimpl<T>"
        ));
    }

    #[test]
    fn types_and_functions_are_counted_once_and_those_of_trait_impls_are_not() {
        let items = once(items());
        let counts = counts(&items);
        // The struct and the trait; two methods, and the one that the trait demands.
        assert_eq!(counts["a::log"], Count { types: 2, functions: 3 });
        assert_eq!(counts["a"], Count { types: 0, functions: 1 });
    }
}
