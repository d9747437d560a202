//! Did you mean?

/// The known name that is nearest to a mistyped one, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let far = |k: &str| strsim::damerau_levenshtein(&lower, &k.to_lowercase());
    let best = known.into_iter().map(|k| (far(k), k)).min_by_key(|(d, _)| *d)?;
    (best.0 <= (name.len() / 3).max(1)).then_some(best.1)
}
