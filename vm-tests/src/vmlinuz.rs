//! Where a kernel's image lies below a root directory of Debian.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory of older packages. Newer ones have it beside their modules, in `usr/lib/modules/VERSION`.
const OLD: &str = "boot";
const NEW: &str = "usr/lib/modules";

/// The image of the only kernel that is there.
pub(crate) fn of(root: &Path) -> Result<PathBuf> {
    let directories = entries(&root.join(NEW)).into_iter().chain([root.join(OLD)]);
    let mut files = directories.flat_map(|directory| entries(&directory));
    files
        .find(|file| is_image(file))
        .with_context(|| format!("no vmlinuz in {OLD} or {NEW}/VERSION of {}", root.display()))
}

/// Alone, or with a version behind it.
fn is_image(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.is_file() && (name == "vmlinuz" || name.starts_with("vmlinuz-"))
}

/// None where there is no such directory.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: &str) -> Result<PathBuf> {
        let root = tempfile::tempdir()?;
        let file = root.path().join(place);
        fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
        fs::write(file, "")?;
        // What else lies there.
        fs::create_dir_all(root.path().join("usr/lib/modules/7.2.13/kernel"))?;
        fs::create_dir_all(root.path().join("boot"))?;
        fs::write(root.path().join("boot/config-7.2.13"), "")?;
        Ok(of(root.path())?.strip_prefix(root.path())?.to_owned())
    }

    #[test]
    fn packages_have_it_in_one_place_or_the_other() {
        for place in ["boot/vmlinuz-5.10.0-32-cloud-amd64", "usr/lib/modules/7.2.13/vmlinuz"] {
            assert_eq!(found(place).unwrap(), Path::new(place));
        }
        assert!(found("boot/initrd.img-5.10.0").is_err());
    }
}
