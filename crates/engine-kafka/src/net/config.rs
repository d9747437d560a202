//! How brokers are spoken to: the settings of Kafka's own clients, from a file like those that Kafka's tools take.

use crate::net::jaas::{self, Login};
use crate::net::pem;
use crate::net::scram::Hash;
use crate::net::settings::Settings;
use crate::net::tls::Tls;
use anabranch_engine::{Error, Result};
use kafka_protocol::protocol::StrBytes;
use std::path::Path;
use std::time::Duration;

/// How long a broker may take for an answer, unless the settings say so. Fail-overs of nine seconds are seen on quiet links.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a user proves who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password is sent.
    Plain,
    /// Both sides prove that they know the password.
    Scram(Hash),
}

impl Mechanism {
    /// Its name in Kafka.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }

    fn named(name: &str) -> Option<Mechanism> {
        let all = [Mechanism::Plain, Mechanism::Scram(Hash::Sha256), Mechanism::Scram(Hash::Sha512)];
        all.into_iter().find(|m| m.name() == name)
    }
}

/// Where a cluster is, and how its brokers are spoken to.
pub struct Config {
    pub(crate) brokers: Vec<String>,
    pub(crate) client: StrBytes,
    pub(crate) patience: Duration,
    pub(crate) tls: Option<Tls>,
    pub(crate) login: Option<(Mechanism, Login)>,
    pub(crate) file: Option<String>,
    pub(crate) tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Config {
    /// Brokers without TLS and SASL: `host:port`, several with commas between them.
    pub fn plain(brokers: &str) -> Config {
        let config = Config {
            brokers: vec![],
            client: StrBytes::from_static_str("anabranch"),
            patience: PATIENCE,
            tls: None,
            login: None,
            file: None,
            tell: Box::new(|_| {}),
        };
        config.at(brokers)
    }

    /// Trouble with brokers that lasts for some seconds is told like this.
    pub fn telling(self, tell: impl Fn(&str) + Send + Sync + 'static) -> Config {
        Config { tell: Box::new(tell), ..self }
    }

    /// Reads a file of settings as Kafka's tools take it: `security.protocol`, `sasl.jaas.config` and so on.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a setting cannot be honoured: file, line and key are named.
    pub fn read(path: &Path) -> Result<Config> {
        let settings = Settings::read(path)?;
        let mut config = Config::plain(settings.get("bootstrap.servers").unwrap_or_default());
        if let Some(client) = settings.get("client.id") {
            config.client = StrBytes::from_string(client.to_string());
        }
        if let Some(text) = settings.get("request.timeout.ms") {
            let ms = text.trim().parse::<u32>().ok().filter(|ms| (1..=i32::MAX as u32).contains(ms));
            let ms =
                ms.ok_or_else(|| settings.wrong("request.timeout.ms", "is no number of milliseconds", "write  10000"));
            config.patience = Duration::from_millis(u64::from(ms?));
        }
        let (tls, sasl) = settings.protocol()?;
        settings.refuse("config.providers", "is not in this version", "write the values themselves")?;
        if tls {
            config.tls = Some(pem::tls(&settings)?);
        }
        if sasl {
            config.login = Some((mechanism(&settings)?, login(&settings)?));
        }
        config.file = Some(settings.file);
        Ok(config)
    }

    /// The same settings with these brokers.
    pub fn at(mut self, brokers: &str) -> Config {
        self.brokers = brokers.split(',').map(|b| b.trim().to_string()).filter(|b| !b.is_empty()).collect();
        self
    }

    /// Every broker is named as `host:port`.
    ///
    /// # Errors
    ///
    /// A broker is not named as `host:port`.
    pub fn well_named(&self) -> Result<()> {
        let is_well = |b: &&String| {
            let (host, port) = b.rsplit_once(':').unwrap_or((b, ""));
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        match self.brokers.iter().find(|b| !is_well(b)) {
            Some(broker) => Err(Error::usage(format!("a broker cannot be named `{broker}`"))
                .help("write  HOST:PORT, as  127.0.0.1:9092")),
            None => Ok(()),
        }
    }

    /// Whether it says where the cluster is.
    pub fn has_brokers(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// The name under which the brokers know us, as far as we can tell: that of the log-in.
    pub fn user(&self) -> &str {
        match (&self.login, &self.tls) {
            (Some((_, login)), _) => &login.user,
            (None, Some(tls)) if tls.has_certificate => "CN=…", // brokers make it of the certificate, by rules of their own
            _ => "ANONYMOUS",
        }
    }

    /// The protocol as Kafka names it.
    pub(crate) fn protocol(&self) -> &'static str {
        match (&self.tls, &self.login) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Where a setting is to be mended.
    pub(crate) fn place(&self) -> &str {
        self.file.as_deref().unwrap_or("client.properties")
    }
}

fn mechanism(settings: &Settings) -> Result<Mechanism> {
    const HELP: &str = "write  sasl.mechanism=  PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
    for key in ["sasl.client.callback.handler.class", "sasl.login.callback.handler.class", "sasl.login.class"] {
        settings.refuse(
            key,
            "names a Java class, which cannot be run here",
            "remove it, and log in by sasl.jaas.config",
        )?;
    }
    let name = settings.get("sasl.mechanism").ok_or_else(|| settings.wrong("sasl.mechanism", "is not set", HELP))?;
    let name = name.trim();
    Mechanism::named(name)
        .ok_or_else(|| settings.wrong("sasl.mechanism", &format!("is {name}, which is not in this version"), HELP))
}

fn login(settings: &Settings) -> Result<Login> {
    const KEY: &str = "sasl.jaas.config";
    const HELP: &str =
        "write  org.apache.kafka.common.security.scram.ScramLoginModule required username=\"…\" password=\"…\";";
    let text = settings.get(KEY).ok_or_else(|| settings.wrong(KEY, "is not set", HELP))?;
    jaas::parse(text).map_err(|why| settings.wrong(KEY, &format!("cannot be used: {why}"), HELP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::Kind;

    fn read(text: &str) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("writes");
        Config::read(file.path())
    }

    fn fails(text: &str) -> String {
        let e = read(text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert_eq!(e.kind, Kind::Usage);
        assert!(!e.to_string().contains("hush"), "{e}");
        e.to_string()
    }

    const JAAS: &str = "sasl.jaas.config=PlainLoginModule required username=\"alice\" password=\"hush\";";

    #[test]
    fn the_usual_keys_are_taken() {
        let text = "bootstrap.servers=a:1, b:2\nclient.id=me\nrequest.timeout.ms=2500\nunknown.key=x\nacks=all\n\
                    security.protocol=sasl_plaintext\nsasl.mechanism=SCRAM-SHA-512\n";
        let config = read(&format!("{text}{JAAS}")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.brokers, ["a:1", "b:2"]);
        assert_eq!((config.client.as_str(), config.user()), ("me", "alice"));
        assert_eq!(config.patience, Duration::from_millis(2500));
        assert!(config.tls.is_none());
        assert_eq!(config.login.as_ref().map(|(m, _)| *m), Some(Mechanism::Scram(Hash::Sha512)));
        assert_eq!(config.at("c:3").brokers, ["c:3"]);
        let quiet =
            read("sasl.mechanism=GSSAPI\nssl.truststore.location=/nowhere.jks").unwrap_or_else(|e| panic!("{e}"));
        assert!(quiet.login.is_none() && quiet.tls.is_none() && !quiet.has_brokers());
    }

    #[test]
    fn what_cannot_be_honoured_is_told_with_file_line_and_key() {
        let sasl = "security.protocol=SASL_PLAINTEXT\n";
        for (text, said) in [
            ("x=1\nsecurity.protocol=TLS\n", ":2: security.protocol is unknown"),
            ("request.timeout.ms=soon\n", ":1: request.timeout.ms is no number"),
            ("config.providers=file\n", ":1: config.providers is not in this version"),
            (&format!("{sasl}{JAAS}"), ": sasl.mechanism is not set"),
            (
                &format!("{sasl}sasl.mechanism=GSSAPI\n{JAAS}"),
                ":2: sasl.mechanism is GSSAPI, which is not in this version",
            ),
            (&format!("{sasl}sasl.mechanism=PLAIN\n"), ": sasl.jaas.config is not set"),
            (
                &format!("{sasl}sasl.mechanism=PLAIN\nsasl.jaas.config=hush"),
                ":3: sasl.jaas.config cannot be used: its login",
            ),
            (&format!("{sasl}sasl.login.class=x.Y\n"), ":2: sasl.login.class names a Java class"),
            ("a=\\u1", ":1: it cannot be read"),
        ] {
            assert!(fails(text).contains(said), "{text}: {}", fails(text));
        }
        let gone = Config::read(Path::new("/nowhere/client.properties")).err().map(|e| e.to_string());
        assert!(gone.is_some_and(|e| e.contains("/nowhere/client.properties cannot be read")));
    }
}
