//! The step that compares an agent's parameters with its own metadata, run as it stands in the step.
#![allow(missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use hapair::action::kind::Action;
use hapair::node::local::Local;
use hapair::node::{Cmd, Transport as _};
use hapair::step::Catalog;

/// What Pacemaker prints of an agent, as far as it matters; an agent of another name is none.
const STONITH_ADMIN: &str = "#!/bin/sh
[ \"$*\" = '--metadata --agent fence_apc_snmp' ] || exit 1
echo '<resource-agent><parameters><parameter name=\"ip\" unique=\"0\"/><parameter name=\"plug\" unique=\"0\"/></parameters></resource-agent>'
";

#[test]
fn a_parameter_that_the_agent_does_not_have_is_named_and_so_is_an_agent_that_there_is_not() {
    let catalog = Catalog::load(None).unwrap();
    let actions = catalog.step("stonith").unwrap().actions.iter().map(|entry| entry.action().unwrap());
    let mut scripts = actions.filter_map(|action| match action {
        Action::Command(command) if command.run.join(" ").contains("--metadata") => {
            assert_eq!(command.run, command.unless, "it orders nothing that its look does not");
            Some(command.run[2].clone())
        }
        _ => None,
    });
    let script = scripts.next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stonith_admin");
    std::fs::write(&path, STONITH_ADMIN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let on = |path: &str, agent: &str, names: &str| {
        let words = ["env".to_owned(), format!("PATH={path}"), "/bin/sh".to_owned(), "-c".to_owned()];
        let more = [&script, "sh", agent, names].map(str::to_owned);
        Local::new().exec(&Cmd::read(words.into_iter().chain(more))).unwrap()
    };
    let here = folder.path().to_str().unwrap();
    assert!(on(here, "fence_apc_snmp", "ip plug pcmk_delay_base ").ok());
    let unknown = on(here, "fence_apc_snmp", "ip colour plug ");
    assert_eq!(unknown.code, 1);
    assert!(unknown.errors().starts_with("fence_apc_snmp has no parameter colour"), "{}", unknown.errors());
    let none = on(here, "fence_apc", "ip ");
    assert!(none.code == 1 && none.errors().starts_with("there is no fence agent fence_apc here"), "{}", none.errors());
    // Before Pacemaker is installed nothing can be told.
    assert_eq!(on("/nonexistent", "fence_apc", "ip ").code, 127);
}
