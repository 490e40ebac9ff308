//! Trees after thousands of changes.

use super::{Changes, Key, Level, Page, Tree, between, entries};
use crate::preserve::format::table::Entry;
use crate::preserve::info::Content;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const UNIT: u64 = 64;

/// An entry with 500 bytes of metadata, so that a page has about eight.
fn entry(name: &str, version: u64) -> Box<[u8]> {
    let (at, len, generation, seconds, tag) = (0, 0, 1, 0, 0);
    let (content, name_len, metadata) = (Content::Blob, name.len(), 500);
    let fields =
        Entry { at, len, version, generation, seconds, tag, content, name: name_len, metadata };
    let mut bytes = fields.bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(fields.size() as usize, 0);
    bytes.into()
}

/// A new store has a root without entries.
fn empty() -> Tree {
    Tree { levels: Vec::from([Level::from([(Key::default(), Page::default())])]) }
}

/// Plans changes and gives each new page a place of its own, as a commit does.
fn commit(tree: &mut Tree, changes: &Changes, next: &mut u64) {
    let mut plan = tree.plan(changes, UNIT).unwrap();
    for level in 0..plan.len() {
        let names: Vec<Key> = plan[level].keys().cloned().collect();
        for name in names {
            let Some(Some(page)) = plan[level].get(&name) else { continue };
            let bytes = tree.bytes(&plan, level, &name, page);
            *next += 1;
            let len = bytes.len() as u64;
            let page = Page { places: [*next, *next << 32], tag: !*next, len, bytes };
            plan[level].insert(name, Some(page));
        }
    }
    assert!(plan.last().unwrap().get(&[][..]).is_some_and(Option::is_some), "the root");
    tree.apply(plan);
}

/// Returns the bytes of all pages above the entries, put together from the pages below them.
fn put_together(tree: &Tree) -> Vec<u8> {
    let mut all = Vec::new();
    for (below, pages) in tree.levels.iter().zip(tree.levels.iter().skip(1)) {
        let mut names = pages.keys().skip(1);
        for name in pages.keys() {
            let end = names.next().map(|name| &**name);
            let begin = all.len();
            for (child, page) in below.range::<[u8], _>(between(name, end)) {
                let child: &[u8] = if all.len() == begin { &[] } else { child };
                all.extend_from_slice(&page.child(child.len()).bytes());
                all.extend_from_slice(child);
                all.resize(begin + (all.len() - begin).next_multiple_of(8), 0);
            }
        }
    }
    all
}

/// Puts, replacements and deletions of one to seven names, through growth and back to one page.
#[test]
fn each_page_has_the_children_that_are_below_it() {
    let (mut tree, mut next, mut model) = (empty(), 0, BTreeMap::new());
    let mut levels = 0;
    for step in 0..4000_u64 {
        let mut changes = Changes::new();
        for change in 0..=step % 7 {
            let name = alloc::format!("{:0>100}", (step * 7919 + change * 104_729) % 700);
            // More puts at first, then more deletions.
            let puts = if step < 1500 { 9 } else { 2 };
            let is_put = step < 3500 && (step + change) % 10 < puts;
            let entry = is_put.then(|| entry(&name, step));
            match &entry {
                Some(entry) => drop(model.insert(Key::from(name.as_bytes()), entry.clone())),
                None => drop(model.remove(name.as_bytes())),
            }
            changes.insert(name.as_bytes().into(), entry);
        }
        commit(&mut tree, &changes, &mut next);
        levels = levels.max(tree.levels.len());
        let above = tree.levels.iter().skip(1).flatten();
        let pages: Vec<&[u8]> = above.map(|(_, page)| &*page.bytes).collect();
        assert!(pages.concat() == put_together(&tree), "step {step}");
    }
    assert_eq!(levels, 4, "a root, two levels of children, and entries");
    let leaves = tree.levels[0].values().flat_map(|leaf| entries(&leaf.bytes));
    assert!(leaves.eq(model.iter().map(|(name, entry)| (&**name, &**entry))));
}

/// The end of a seal changes no entry.
#[test]
fn a_commit_without_changes_keeps_all_entries() {
    let (mut tree, mut next) = (empty(), 0);
    let names: Vec<_> = (0..300).map(|name| alloc::format!("{name}")).collect();
    let changes = names.iter().map(|name| (name.as_bytes().into(), Some(entry(name, 1)))).collect();
    commit(&mut tree, &changes, &mut next);
    let root = tree.levels.last().unwrap()[&[][..]].bytes.clone();
    commit(&mut tree, &Changes::new(), &mut next);
    assert_eq!(tree.levels.last().unwrap()[&[][..]].bytes, root);
    assert_eq!(tree.levels[0].values().flat_map(|leaf| entries(&leaf.bytes)).count(), 300);
}
