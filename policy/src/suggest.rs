//! "Did you mean": the known name that a typo is closest to.

/// Names longer than this are not compared: the work grows with the product of their lengths.
const MAX_LENGTH: usize = 64;

/// How many names are compared at most: a suggestion is a courtesy, and must not take seconds.
const MAX_KNOWN: usize = 10_000;

/// Returns the one of `known` that is most like `typed`, if any is.
pub(crate) fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if !(2..=MAX_LENGTH).contains(&typed.len()) {
        return None;
    }
    let typed = typed.to_lowercase();
    let known = known.into_iter().take(MAX_KNOWN).filter(|name| name.len() <= MAX_LENGTH);
    let distances = known.filter_map(|name| Some((distance(&typed, &name.to_lowercase())?, name)));
    distances.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns how many typing errors are between two names, unless they are too many for that. One in three characters may
/// be wrong. If one name is the start of the other, that counts as one error.
fn distance(typed: &str, name: &str) -> Option<usize> {
    if typed.len() > 2 && name.len() > 2 && (typed.starts_with(name) || name.starts_with(typed)) {
        return Some(usize::from(typed != name));
    }
    let distance = strsim::osa_distance(typed, name);
    (distance <= (typed.len() / 3).max(1)).then_some(distance)
}

/// Returns the names of a closed choice, as in "`host`, `docker` or `container`".
pub(crate) fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("`{name}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_name_and_strangers_do_not() {
        let known = ["trusted", "blocked", "groups", "allow"];
        for (typed, name) in
            [("trused", "trusted"), ("Group", "groups"), ("alow", "allow"), ("trust", "trusted")]
        {
            assert_eq!(closest(typed, known), Some(name));
        }
        assert_eq!((closest("zzz", known), closest("a", known)), (None, None));
        assert_eq!(closest(&"trusted".repeat(10), known), None);
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(alternatives(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
