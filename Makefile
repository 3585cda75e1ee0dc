# make rehearse      the main job, for real, on two throw-away machines (minutes)
# make rehearse-xen  the same under real Xen in QEMU (minutes with KVM, about an hour emulated)
# make test          all tests, the uml rehearsal included (under 30 minutes from a cold clone)
# make matrix        the installer killed in every action, the power of each machine cut and its line silent in every step (hours)
# make matrix-xen    the power of each QEMU machine cut in the steps that need Xen, SBD there, the install on a node itself, VMs
#                    moved live and killed (hours emulated)
# make figures       what needs no machine: damaged journals, generated answers, silent links, canary secrets, kills (minutes)
# make drill         the drill, all eleven parts, on two throw-away machines; its page is drill.html (an hour and a half)
# make guards        what a device may hold x destructive actions x consent, on real devices in one machine: the table
# make deny          licences and bans of the dependencies

CARGO ?= cargo
# Another emulator for rehearse-xen: make rehearse-xen QEMU=/path/to/qemu-system-x86_64
QEMU ?=
# More options of hapair rehearse: make rehearse ARGS="--keep"
ARGS ?=
# Steps that install packages. What is done to apt-get and dpkg in mid-work is seen only where they are not there from the start.
INSTALLING = drbd-module,o2cb,messaging,stonith

.PHONY: rehearse rehearse-xen matrix matrix-xen figures guards drill test check docs deny

rehearse:
	tests/tools rehearse
	$(CARGO) run --quiet -- rehearse --engine auto $(ARGS)

rehearse-xen:
	QEMU="$(QEMU)" tests/tools rehearse-xen
	$(CARGO) run --quiet -- rehearse --engine qemu $(if $(QEMU),--qemu $(QEMU)) $(ARGS)

figures:
	tests/tools test
	$(CARGO) test --quiet --lib journal:: -- --nocapture
	$(CARGO) test --quiet --test answers --test ssh --test simulated -- --nocapture

matrix: figures
	tests/tools rehearse
	$(CARGO) test --test rehearsal -- --ignored --nocapture
	$(CARGO) test --test wizard -- --ignored --nocapture two_machines
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --harm kill-actions
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --harm power
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --harm silence
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --harm long-silence --harm-in drbd-resource,messaging
	$(CARGO) run --quiet -- rehearse --engine uml --harm kill-actions --harm-in $(INSTALLING)
	$(CARGO) run --quiet -- rehearse --engine uml --harm power --harm-in $(INSTALLING)
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --swap-bmcs
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --on-node
	for method in agent levels sbd; do \
		$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --answers tests/answers/good/$$method.yaml || exit 1; done

matrix-xen:
	QEMU="$(QEMU)" tests/tools rehearse-xen
	$(CARGO) run --quiet -- rehearse --engine qemu --harm power --harm-in xen-boot,vms $(if $(QEMU),--qemu $(QEMU))
	$(CARGO) run --quiet -- rehearse --engine qemu --preinstalled --answers tests/answers/good/sbd.yaml --drill migrate $(if $(QEMU),--qemu $(QEMU))
	$(CARGO) run --quiet -- rehearse --engine qemu --preinstalled --on-node --drill kill $(if $(QEMU),--qemu $(QEMU))

drill:
	tests/tools rehearse
	$(CARGO) run --quiet -- rehearse --engine uml --preinstalled --drill --drill-report drill.html

guards:
	tests/tools test
	$(CARGO) test --quiet --test guards -- --ignored --nocapture nothing_is_overwritten

# The rehearsal waits for its machines most of the time, so the others are built and run beside it, and yield to it; what they
# say follows. They start a little later: whoever comes second at cargo's lock waits until the first has built.
test: check
	tests/tools test
	$(CARGO) test --quiet --test rehearsal --no-run
	@(sleep 5; exec chrt --idle 0 $(CARGO) test --tests --no-fail-fast -- --skip two_fresh_machines_become_a_pair) >target/tests.log 2>&1 & \
	others=$$!; \
	$(CARGO) test --test rehearsal; rehearsal=$$?; \
	wait $$others; others=$$?; cat target/tests.log; exit $$((rehearsal | others))

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

# Writes the generated pages anew; a test fails when they are stale.
docs:
	UPDATE_DOCS=1 $(CARGO) test --quiet --test answers --test docs

deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources
