//! Brokers with TLS, log-in and ACLs: what works, and what is said when it does not.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, Ran, sorted};
use std::process::Command;

const FLOW: &str = "
flow: copier
streams: { in: { partitions: 2, format: text }, out: { partitions: 2, format: text }, sums: { sink: out/sums.jsonl } }
steps:
  out: { filter: in, where: \"item != 'skip'\" }
  sums: { reduce: out, value: count() }
";

struct Trial {
    cluster: Cluster,
    place: Place,
    secure: String,
}

impl Trial {
    fn new() -> Trial {
        let cluster = Cluster::secure();
        let secure = std::fs::read_to_string(cluster.dir().join("bootstrap-secure")).expect("reads");
        Trial { cluster, place: Place::with(FLOW, &[]), secure: secure.trim().to_string() }
    }

    /// Settings of a user; what `more` says stands behind the usual keys, and the last one counts.
    fn settings(&self, mechanism: &str, user: &str, password: &str, more: &str) -> String {
        let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
        let text = format!(
            "bootstrap.servers={}\nsecurity.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.jaas.config=\\\n  \
             org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{password}\";\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n{more}\n",
            self.secure,
            self.cluster.dir().join("ca.pem").display()
        );
        self.place.write("client.properties", text);
        "client.properties".into()
    }

    /// Runs a command as that user.
    fn by(&self, settings: &str, args: &[&str]) -> Ran {
        self.place.run(&[args, &["--command-config", settings]].concat())
    }

    /// Lists streams with such settings, which fails: nothing is made, no secret is shown.
    #[track_caller]
    fn fails(&self, settings: &str, said: &[&str]) {
        let ran = self.by(settings, &["streams", "list"]);
        assert!(ran.exit == 1 || ran.exit == 2, "{ran:?}");
        assert!(!format!("{ran:?}").contains("hush"), "a secret is shown: {ran:?}");
        said.iter().for_each(|text| assert!(ran.err.contains(text), "not said: {text}\n{}", ran.err));
    }

    /// All items of a topic, at least so many, read by Kafka's own tool.
    fn read(&self, topic: &str, least: usize) -> Vec<String> {
        sorted(&self.cluster.committed(topic, &[], least))
    }
}

#[test]
fn tls_and_log_in() {
    let trial = Trial::new();
    every_mechanism_carries_a_flow(&trial);
    wrong_users_are_told(&trial);
    wrong_certificates_are_told(&trial);
    wrong_ports_are_told(&trial);
    certificates_of_clients(&trial);
}

fn every_mechanism_carries_a_flow(trial: &Trial) {
    let mut all = vec![];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let admin = trial.settings(mechanism, "admin", "admin-secret", "");
        if all.is_empty() {
            trial.by(&admin, &["streams", "create", "in", "--partitions", "2"]).exits(0);
        }
        // more than TLS takes at once
        let large = format!("{mechanism} {}", "x".repeat(300_000));
        trial.place.write("lines", format!("{mechanism} 1\nskip\n{large}\n"));
        let lines = std::fs::File::open(trial.place.path().join("lines")).expect("opens");
        let mut produce = trial.place.command(&["produce", "in", "--command-config", &admin]);
        assert!(produce.stdin(lines).status().expect("starts").success(), "{mechanism}");
        trial.by(&admin, &["run"]).exits(0).says("balanced ✓");
        all.extend([format!("{mechanism} 1"), large]);
        let seen = trial.by(&admin, &["consume", "out", "--from-beginning"]).exits(0);
        assert_eq!(sorted(&seen.out), sorted(&all.join("\n")), "{mechanism}");
    }
    assert_eq!(trial.read("out", all.len()), sorted(&all.join("\n")));
    // what is set on the command line goes before the file; the certificates may stand in the file itself
    let pem = std::fs::read_to_string(trial.cluster.dir().join("ca.pem")).expect("reads").replace('\n', " ");
    let inline = format!("bootstrap.servers=127.0.0.1:1\nssl.truststore.certificates={pem}");
    let inline = trial.settings("PLAIN", "admin", "admin-secret", &inline);
    let listed = trial.by(&inline, &["streams", "list", "--kafka", &trial.secure]).exits(0);
    assert!(listed.out.contains("out\n"), "{}", listed.out);
    let admin = trial.settings("PLAIN", "admin", "admin-secret", "");
    let mut named = trial.place.command(&["streams", "list"]);
    let again = Ran::from(named.env("ANABRANCH_KAFKA_CONFIG", admin).output().expect("starts")).exits(0);
    assert_eq!(again.out, listed.out);
}

fn wrong_users_are_told(trial: &Trial) {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for user in ["alice", "nobody"] {
            let broker = &trial.secure;
            let said =
                format!("error: the broker {broker} does not accept the user {user} with this password ({mechanism})");
            let wrong = trial.settings(mechanism, user, "hush", "");
            trial.fails(&wrong, &[&said, "sasl.jaas.config  in client.properties"]);
        }
    }
    let wrong = trial.settings("GSSAPI", "alice", "hush", "");
    trial.fails(&wrong, &["client.properties:3: sasl.mechanism is GSSAPI", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"]);
    let wrong = trial.settings("PLAIN", "alice", "hush", "sasl.jaas.config=alice:hush");
    trial.fails(&wrong, &["client.properties:8: sasl.jaas.config cannot be used"]);
}

fn wrong_certificates_are_told(trial: &Trial) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=somebody", "-keyout", "other.key"])
        .args(["-out", "other.pem"])
        .current_dir(trial.place.path())
        .output();
    assert!(made.expect("openssl starts").status.success());
    let with = |more: &str| trial.settings("PLAIN", "admin", "admin-secret", more);
    let untrusted = format!("the certificate of the broker {} is not signed by any of", trial.secure);
    trial.fails(&with("ssl.truststore.location=other.pem"), &[&untrusted, "other.pem", "ssl.truststore.location"]);
    trial.fails(&with("ssl.truststore.type=JKS"), &["client.properties:8: ssl.truststore.type is JKS", "keytool"]);
    trial.place.write("store.jks", b"\xfe\xed\xfe\xed\0\0\0\x02");
    let java = with("ssl.truststore.type=\nssl.truststore.location=store.jks");
    trial.fails(&java, &["client.properties:9: ssl.truststore.location names store.jks, which is not PEM", "keytool"]);
    trial.fails(&with("ssl.truststore.location=gone.pem"), &["gone.pem, which cannot be read"]);
    // another name for the same broker, which its certificate does not have
    let port = trial.secure.rsplit(':').next().expect("a port");
    let elsewhere = format!("bootstrap.servers=0.0.0.0:{port}");
    trial.fails(&with(&elsewhere), &["is for 127.0.0.1, localhost, not for this host", "endpoint.identification"]);
    let any = with(&format!("{elsewhere}\nssl.endpoint.identification.algorithm="));
    trial.by(&any, &["streams", "list"]).exits(0);
    // a name may be wrong then, a certificate may not
    trial.fails(
        &with("ssl.truststore.location=other.pem\nssl.endpoint.identification.algorithm="),
        &["is not signed by any of other.pem"],
    );
}

fn wrong_ports_are_told(trial: &Trial) {
    let plain = format!("bootstrap.servers={}\n", trial.cluster.bootstrap());
    let with = |more: &str| trial.settings("PLAIN", "admin", "hush", more);
    trial.fails(&with(&plain), &["does not speak TLS at this port", "security.protocol=PLAINTEXT"]);
    trial.fails(&with(&format!("{plain}security.protocol=SASL_PLAINTEXT")), &["has no SASL at this port"]);
    let says_tls = "at this port: it speaks TLS";
    trial.fails(&with("security.protocol=SASL_PLAINTEXT"), &["does not speak SASL_PLAINTEXT", says_tls]);
    trial.fails(&with("security.protocol=PLAINTEXT"), &["does not speak PLAINTEXT", says_tls, "--command-config"]);
    trial.fails(&with("security.protocol=SSL"), &["does not speak SSL at this port", "does it want a log-in?"]);
    trial.by(&with(&format!("{plain}security.protocol=PLAINTEXT")), &["streams", "list"]).exits(0);
}

/// The broker begins again with one mechanism, and asks for certificates of clients.
fn certificates_of_clients(trial: &Trial) {
    let file = trial.cluster.dir().join("broker-1/server.properties");
    let ca = trial.cluster.dir().join("ca.pem");
    let text = std::fs::read_to_string(&file).expect("reads");
    let listener = "listener.name.sasl_ssl.ssl";
    let more = format!(
        "sasl.enabled.mechanisms=SCRAM-SHA-512\n{listener}.client.auth=required\n{listener}.keystore.type=PEM\n\
         {listener}.keystore.location={}\n{listener}.truststore.type=PEM\n{listener}.truststore.location={}\n",
        trial.cluster.dir().join("server.pem").display(),
        ca.display()
    );
    std::fs::write(&file, text + &more).expect("writes");
    trial.cluster.restart(1);
    let own = format!("ssl.keystore.location={}", trial.cluster.dir().join("server.pem").display());
    let with = |mechanism: &str, more: &str| trial.settings(mechanism, "admin", "admin-secret", more);
    trial.by(&with("SCRAM-SHA-512", &own), &["streams", "list"]).exits(0);
    trial.fails(&with("SCRAM-SHA-512", ""), &["refuses the certificate of this client", "ssl.keystore.location"]);
    let other = "ssl.keystore.location=both.pem";
    let both = trial.place.read("other.key") + &trial.place.read("other.pem");
    trial.place.write("both.pem", both);
    trial.fails(&with("SCRAM-SHA-512", other), &["refuses the certificate of this client", "must be one that"]);
    trial.fails(&with("PLAIN", &own), &["does not log in by PLAIN", "it has: SCRAM-SHA-512"]);
}

/// What the guarantees list as rights of a flow is what `check` asks for, and what the flow takes.
#[test]
fn the_rights_that_are_listed_are_those_it_takes() {
    let trial = Trial::new();
    trial.place.run(&["streams", "create", "in", "--partitions", "2", "--kafka", trial.cluster.bootstrap()]).exits(0);
    let feed = |text: &str| {
        trial.cluster.tool("console-producer", &["--topic", "in"], text);
    };
    feed("one\nskip\ntwo\n");
    let check = ["check", "--kafka", trial.cluster.bootstrap()];
    trial.place.run(&check).exits(0).says("User:ANONYMOUS has all rights");
    let topics = trial.cluster.tool("topics", &["--list"], "").stdout;
    assert_eq!(String::from_utf8_lossy(&topics), "in\n", "a check makes nothing, not even topics of Kafka's own");
    let alice = trial.settings("SCRAM-SHA-512", "alice", "alice-secret", "");
    let guarantees = include_str!("../../../docs/GUARANTEES.md");
    let listed: Vec<&str> = guarantees.lines().filter_map(|l| l.strip_prefix("$acls ")).collect();
    let advised = trial.by(&alice, &["check"]).exits(2).err;
    for line in listed.iter().filter(|l| !l.contains("--group")) {
        let whole = advised.lines().any(|l| l.ends_with(&format!("--allow-principal User:alice {line}")));
        assert!(whole, "listed, but not told: {line}\n{advised}");
    }
    let mut faults = faults(&trial, &alice);
    assert!(faults >= listed.len(), "{faults} faults, {} rights", listed.len());
    for (i, options) in listed.iter().enumerate() {
        let told = trial.by(&alice, &["run", "-q"]).exits(2).says("error: ").says("User:alice has no right ");
        let line =
            told.err.lines().find_map(|l| l.split_once("--allow-principal User:alice ")).expect("a line that grants").1;
        assert!(listed[i..].iter().any(|l| covers(l, line)), "this was granted, or is not listed: {line}");
        grant(&trial, options);
        // the brokers take over new rights a moment later
        let fewer = (0..100).find_map(|_| Some(self::faults(&trial, &alice)).filter(|n| *n < faults));
        faults = fewer.unwrap_or_else(|| panic!("granted in vain: {options}"));
    }
    assert_eq!(faults, 0);
    trial.by(&alice, &["check"]).exits(0).says("Kafka fits it: 1 broker, 8 topics, User:alice has all rights");
    trial.by(&alice, &["run"]).exits(0).says("balanced ✓");
    feed("three\n");
    trial.by(&alice, &["run"]).exits(0).says("balanced ✓");
    trial.by(&alice, &["check"]).exits(0).says("User:alice has all rights");
    let group = trial.cluster.tool("consumer-groups", &["--describe", "--group", "copier.out"], "");
    let group = String::from_utf8_lossy(&group.stdout).into_owned();
    let rows = group.lines().filter(|l| l.starts_with("copier.out"));
    assert!(rows.clone().count() == 2 && rows.clone().all(|l| l.contains(" in ")), "a check sets no offsets: {group}");
    let seen = trial.by(&alice, &["consume", "out", "--from-beginning"]).exits(0);
    assert_eq!(sorted(&seen.out), ["one", "three", "two"]);
    assert_eq!(trial.read("out", 3), ["one", "three", "two"]);
    trial.by(&alice, &["report"]).exits(0);
    let refused = trial.place.feed(&["produce", "in", "--command-config", &alice], b"x\n").exits(2);
    refused
        .says("User:alice has no right Write on the topic in; nothing of it is in in\n")
        .says("--operation Write --topic in");
    let refused = trial.by(&alice, &["streams", "list"]).exits(2);
    refused.says("User:alice has no right DescribeConfigs on the topic");
    what_does_not_fit_is_told(&trial);
}

/// How many faults the check finds; each is a right.
fn faults(trial: &Trial, alice: &str) -> usize {
    let ran = trial.by(alice, &["check", "-q"]);
    let n = ran.err.lines().filter(|l| l.starts_with("error: User:alice has no right ")).count();
    assert_eq!(n, ran.err.lines().filter(|l| l.starts_with("error: ")).count(), "{}", ran.err);
    assert_eq!(ran.exit, if n > 0 { 2 } else { 0 }, "{}", ran.err);
    n
}

fn grant(trial: &Trial, options: &str) {
    let options: Vec<&str> = options.split_whitespace().collect();
    let granted =
        trial.cluster.tool("acls", &[&["--add", "--allow-principal", "User:alice"], &options[..]].concat(), "");
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
}

/// Whether what was listed grants what was asked for: the same thing, or its beginning.
fn covers(listed: &str, asked: &str) -> bool {
    let thing = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|w| *w == "--operation" || !w.starts_with("--"));
        (words.next().expect("an option").to_string(), words.next().expect("a name").to_string())
    };
    let ((kind, name), (of, what)) = (thing(listed), thing(asked));
    kind == of && (name == what || listed.ends_with("prefixed") && what.starts_with(&name))
}

/// What a cluster cannot do for a flow is told before it runs.
fn what_does_not_fit_is_told(trial: &Trial) {
    let admin = trial.settings("PLAIN", "admin", "admin-secret", "");
    let flow = "
flow: other
streams:
  in: { partitions: 3 }
  gone: { partitions: 4 }
  wide: { partitions: 1, replication-factor: 3 }
  odd: { partitions: 1, config: { no.such.setting: 1 } }
  left: { partitions: 1 }
steps:
  wide: { copy: in, to: wide }
  odd: { copy: gone, to: odd }
  both: { merge: [wide, odd], to: left }
";
    trial.place.write("other.yaml", flow);
    let told = trial.by(&admin, &["check", "other.yaml"]).exits(2);
    let told = told.says("error: the stream in has 2 partitions, not 3").says("error: there is no topic gone");
    let told = told.says("anabranch streams create gone --partitions 4").says("making the topic wide");
    let told = told.says("the replication factor is larger than the number of brokers").says("no.such.setting");
    told.says("4 errors; nothing was run");
    let json = trial.by(&admin, &["check", "other.yaml", "--json"]).exits(2).out;
    assert_eq!(json.matches("\"code\":\"kafka\"").count(), 4, "{json}");
}
