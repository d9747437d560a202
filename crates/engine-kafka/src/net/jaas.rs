//! `sasl.jaas.config`: a login module, a flag, and options, as in
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="…";`

use crate::net::secret::Secret;

/// Who logs in.
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Reads the line; else why it cannot be. What it says is never quoted: a password is in it.
pub fn parse(text: &str) -> Result<Login, &'static str> {
    let mut words = words(text)?.into_iter();
    let module = words.next().ok_or("it is empty")?;
    let known = ["PlainLoginModule", "ScramLoginModule"];
    if !known.iter().any(|k| module.rsplit('.').next() == Some(k)) {
        return Err("its login module is neither PlainLoginModule nor ScramLoginModule");
    }
    words.next().filter(|flag| !flag.contains('=')).ok_or("`required` is missing behind the login module")?;
    let (mut user, mut password) = (None, None);
    for option in words {
        match option.split_once('=') {
            Some(("username", value)) => user = Some(value.to_string()),
            Some(("password", value)) => password = Some(Secret(value.to_string())),
            Some(("tokenauth", "true")) => return Err("delegation tokens (tokenauth) are not in this version"),
            Some(_) => {}
            None => return Err("an option has no value: write  username=\"…\" password=\"…\";"),
        }
    }
    let user = user.filter(|u| !u.is_empty()).ok_or("it has no username")?;
    Ok(Login { user, password: password.ok_or("it has no password")? })
}

/// What stands between blanks up to the semicolon, quotes taken off.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut out, mut word, mut open) = (vec![], String::new(), None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, open) {
            ('\\', Some(_)) => match rest.next() {
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some(other) => word.push(other),
                None => break,
            },
            (c, Some(quote)) if c == quote => open = None,
            ('"' | '\'', None) => open = Some(c),
            (';', None) => break,
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if open.is_some() {
        return Err("a quotation mark is not closed");
    }
    out.extend(Some(word).filter(|w| !w.is_empty()));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";

    #[test]
    fn user_and_password_are_found() {
        for (options, user, password) in [
            (r#"username="alice" password="alice-secret";"#, "alice", "alice-secret"),
            (r#"password='a b;c' username=bob serviceName="kafka""#, "bob", "a b;c"),
            (r#"username="a=b" password="say \"x\" \\ y";"#, "a=b", r#"say "x" \ y"#),
            (r#"username="a" password="";"#, "a", ""),
        ] {
            let login = parse(&format!("{PLAIN} {options}")).unwrap_or_else(|why| panic!("{options}: {why}"));
            assert_eq!((login.user.as_str(), login.password.0.as_str()), (user, password));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "",
            ";",
            "com.sun.security.auth.module.Krb5LoginModule required hush=\"hush\";",
            "PlainLoginModule username=\"hush\" password=\"hush\";",
            "PlainLoginModule required username=\"alice\";",
            "PlainLoginModule required password=\"hush\";",
            "PlainLoginModule required username=\"\" password=\"hush\";",
            "PlainLoginModule required username=\"a\" password=\"hush;",
            "PlainLoginModule required username=\"a\" password \"hush\";",
            "ScramLoginModule required username=\"a\" password=\"hush\" tokenauth=true;",
        ] {
            let why = parse(text).err().unwrap_or_else(|| panic!("taken: {text}"));
            assert!(!why.contains("hush"), "{why}");
        }
    }
}
