//! A crate's source: its modules, and what each of them uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

/// A module by the names that lead to it; the root has none.
pub(crate) type Module = Vec<String>;

/// What one file uses.
struct File {
    path: PathBuf,
    /// Paths as they are written, but for `use` trees, which are written out.
    paths: BTreeSet<Vec<String>>,
    /// Names that `use` makes known to others, with the path that each stands for.
    known_as: BTreeMap<String, Vec<String>>,
}

/// All files of a crate.
pub(crate) struct Source(BTreeMap<Module, File>);

impl Source {
    /// Reads the crate whose root is in this directory.
    pub(crate) fn read(directory: &Path) -> Self {
        let root =
            ["main.rs", "lib.rs"].map(|name| directory.join(name)).into_iter().find(|file| file.exists());
        let mut source = Self(BTreeMap::new());
        source.add(&root.unwrap(), directory, vec![]);
        source
    }

    /// Reads a file, and those of the modules that it declares, which are in `directory`.
    fn add(&mut self, path: &Path, directory: &Path, module: Module) {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut reader = Reader::default();
        reader.visit_file(&parsed);
        let children = parsed.items.iter().filter_map(|item| match item {
            Item::Mod(ItemMod { content: None, attrs, ident, .. }) if !is_for_tests(attrs) => {
                Some(ident.to_string())
            }
            _ => None,
        });
        for child in children {
            let place = directory.join(&child);
            let files = [place.with_extension("rs"), place.join("mod.rs")];
            let file =
                files.iter().find(|file| file.exists()).unwrap_or_else(|| panic!("no file for {child}"));
            self.add(file, &place, [module.clone(), vec![child]].concat());
        }
        self.0.insert(module, File { path: path.to_owned(), paths: reader.paths, known_as: reader.known_as });
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.0.keys()
    }

    /// Which module uses which.
    pub(crate) fn uses(&self) -> BTreeSet<(Module, Module)> {
        let all = self.0.iter().flat_map(|(module, file)| file.paths.iter().map(move |path| (module, path)));
        all.filter_map(|(module, path)| Some((module.clone(), self.module_of(&absolute(module, path)?))))
            .collect()
    }

    /// Where the last name of a path within the crate is written down, also if a module on the way only makes it known.
    fn module_of(&self, path: &[String]) -> Module {
        let mut module = Module::new();
        for (number, name) in path.iter().enumerate() {
            let deeper = [module.clone(), vec![name.clone()]].concat();
            if self.0.contains_key(&deeper) {
                module = deeper;
                continue;
            }
            let meant = self.0.get(&module).and_then(|file| file.known_as.get(name));
            let meant =
                meant.and_then(|meant| absolute(&module, meant).or_else(|| self.child(&module, meant)));
            return match meant {
                Some(meant) if meant != path[..=number] => {
                    self.module_of(&[meant, path[number + 1..].to_vec()].concat())
                }
                _ => module,
            };
        }
        module
    }

    /// A path that begins with a child of the module.
    fn child(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let child = [module.clone(), vec![path.first()?.clone()]].concat();
        self.0.contains_key(&child).then(|| [module.clone(), path.to_vec()].concat())
    }

    /// What the files of a room use of other crates, the standard library among them.
    pub(crate) fn foreign_paths(&self, room: &str) -> Vec<(PathBuf, String)> {
        let files = self.0.iter().filter(|(module, _)| module.first().is_some_and(|first| first == room));
        let paths = files.flat_map(|(module, file)| {
            let foreign = file.paths.iter().filter(move |path| absolute(module, path).is_none());
            foreign.map(|path| (file.path.clone(), path.join("::")))
        });
        paths.collect()
    }
}

/// A path from the crate's root, if it is written as one within the crate.
fn absolute(module: &Module, path: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module.clone(), path[1..].to_vec()].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let parent = module.get(..module.len().checked_sub(ups)?)?;
            Some([parent.to_vec(), path[ups..].to_vec()].concat())
        }
        _ => None,
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let for_tests = |attribute: &Attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|what| what == "test")
    };
    attributes.iter().any(for_tests)
}

/// Reads what a file uses.
#[derive(Default)]
struct Reader {
    paths: BTreeSet<Vec<String>>,
    known_as: BTreeMap<String, Vec<String>>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut found = Vec::new();
        write_out(&item.tree, &mut Vec::new(), &mut found);
        for (path, name) in found {
            self.known_as.insert(name, path.clone());
            self.paths.insert(path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.paths.insert(names);
        }
        visit::visit_path(self, path);
    }
}

/// Each path of a tree, with the name that it makes known.
fn write_out(tree: &UseTree, so_far: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    let with = |so_far: &[String], name: &str| {
        let mut path = so_far.to_vec();
        if name != "self" || path.is_empty() {
            path.push(name.to_owned());
        }
        path
    };
    match tree {
        UseTree::Path(path) => {
            so_far.push(path.ident.to_string());
            write_out(&path.tree, so_far, found);
            so_far.pop();
        }
        UseTree::Name(name) => {
            let path = with(so_far, &name.ident.to_string());
            let last = path.last().cloned().unwrap_or_default();
            found.push((path, last));
        }
        UseTree::Rename(rename) => {
            found.push((with(so_far, &rename.ident.to_string()), rename.rename.to_string()));
        }
        UseTree::Glob(_) => found.push((so_far.clone(), String::new())),
        UseTree::Group(group) => group.items.iter().for_each(|item| write_out(item, so_far, found)),
    }
}
