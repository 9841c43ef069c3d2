//! How long a decision takes, for each row of a list of 10,000.
//!
//! Absent on purpose: what a list is filtered into, which is the server's.

use lictor_acl::{Authorizer, DefaultPolicy, Level, Rule, Rules, Segmented};

fn main() {
    divan::main();
}

const ROWS: usize = 10_000;

fn names() -> Vec<String> {
    (0..ROWS).map(|at| format!("team-{}/service-{at}", at % 97)).collect()
}

/// A token with so many rules about services.
fn token(rules: usize) -> Authorizer {
    let rules = (0..rules).map(|at| match at % 2 {
        0 => Rule::prefix(Segmented::Service, format!("team-{}/", at % 97), Level::Read),
        _ => {
            Rule::exact(Segmented::Service, format!("team-{}/service-{at}", at % 97), Level::Write)
        }
    });
    let rules = Rules { rules: rules.collect(), ..Rules::default() };
    Authorizer::new([&rules], DefaultPolicy::Deny)
}

fn rows(bencher: divan::Bencher<'_, '_>, who: &Authorizer) {
    let names = names();
    bencher
        .counter(divan::counter::ItemsCount::new(ROWS))
        .bench_local(|| names.iter().filter(|name| who.service_read(name)).count());
}

#[divan::bench(args = [1, 10, 100, 1000])]
fn by_rules(bencher: divan::Bencher<'_, '_>, rules: usize) {
    rows(bencher, &token(rules));
}

#[divan::bench]
fn by_default(bencher: divan::Bencher<'_, '_>) {
    rows(bencher, &Authorizer::by_default(DefaultPolicy::Allow));
}

/// Asked once for a list that needs no filter then.
#[divan::bench]
fn whole_list(bencher: divan::Bencher<'_, '_>) {
    let who = Authorizer::new([&Rules::service_identity("web")], DefaultPolicy::Deny);
    bencher.bench_local(|| who.service_read_all() && who.node_read_all());
}
