# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv by themselves.
BIN := .venv/bin
SOURCES := protocol agent tests hw-tests deploy
IN_GUEST := PYTHONPATH=/opt/site:/work/tests/fullstack/vm /opt/ttlock-agent/current/bin/python \
	/work/tests/fullstack/vm

.PHONY: help demo demo-restore test check format hil-faults bench fuzz deb test-deb test-vm test-vm-arm64 bench-vm soak-vm \
	nightly storm storm-nightly crash-restore clean

help:
	@sed -n 's/^## //p' Makefile

## make demo      the main job without radio: cloud says delivered, door says no, agent delivers
demo: .venv/.demo
	$(BIN)/ttlock-agent demo

## make demo-restore   a reset that loses nothing, with power cuts in the middle
demo-restore: .venv/.demo
	$(BIN)/ttlock-agent demo-restore

## make test      every test that needs no virtual machine
test: .venv/.test
	@deploy/test-packages.sh
	$(BIN)/python -m pytest $(PYTEST_ARGS)

## make check     style, types and import fences
check: .venv/.test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

## make format    let ruff put the sources in order
format: .venv/.test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

## make hil-faults   broken locks, and which check of the technician's suite finds which fault
hil-faults: .venv/.test
	$(BIN)/python -m tests.hil_faults

## make bench     what it costs, as ratios within one run
bench: .venv/.test
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

## make fuzz      coverage-guided fuzzing of the protocol (x86_64); FUZZ_ARGS="--seconds 600"
fuzz: .venv/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

## make deb       the Debian packages of both architectures, in dist/
deb: .venv/.demo
	deploy/deb.sh amd64
	deploy/deb.sh arm64

## make test-deb  install, upgrade, break, move to the next Debian, remove, purge (root; 5 minutes)
test-deb: .venv/.demo
	deploy/deb.sh amd64
	tests/deb/chroot.sh bookworm
	tests/deb/chroot.sh trixie

## make test-vm  the installed service against a real Bluetooth stack in QEMU (root; 30 minutes)
test-vm: .venv/.demo
	timeout --kill-after=30 4200 python3 tests/fullstack/vm/all.py $(VM_ARGS)

## make test-vm-arm64   the package for a Pi in an emulated arm64 machine (root)
test-vm-arm64: .venv/.demo
	timeout --kill-after=30 3600 tests/fullstack/vm/arm64.sh

## make bench-vm  what a passcode costs over BlueZ, and what idling does
bench-vm: .venv/.demo
	LIMIT=1800 tests/fullstack/run -- $(IN_GUEST)/measures.py bench

## make soak-vm   an hour of deliveries in which nothing may grow
soak-vm: .venv/.demo
	LIMIT=5400 tests/fullstack/run -- $(IN_GUEST)/measures.py soak

## make nightly   test-vm with twenty power cuts of each kind and twenty kills, arm64, the hour's soak
nightly: .venv/.demo
	timeout --kill-after=30 14400 python3 tests/fullstack/vm/all.py --cuts 20 --kills 20
	$(MAKE) test-vm-arm64
	$(MAKE) soak-vm

## make storm     the agent killed at every step, the disk bad at every write, and COUNT hours of bad weather from SEED on
storm: .venv/.test
	$(BIN)/python -m tests.storm crash --list build/storm-pairs.txt
	$(BIN)/python -m tests.storm disk
	$(BIN)/python -m tests.storm random --seed $(or $(SEED),0) --count $(or $(COUNT),1000)

## make crash-restore   the agent killed at every step of backup, restore and other changes
crash-restore: .venv/.test
	TTLOCK_CRASH_POINTS=all $(BIN)/python -m pytest -q -s tests/integration/test_backup_crash.py tests/integration/test_errand_crash.py

## make storm-nightly   ten times as many hours, other ones each night, and five real minutes
storm-nightly: .venv/.test
	$(MAKE) storm SEED=$(or $(SEED),$(shell date +%y%m%d)00000) COUNT=$(or $(COUNT),10000)
	$(BIN)/python -m tests.storm real --seed $(or $(SEED),$(shell date +%y%m%d))
	$(MAKE) crash-restore

## make clean     remove what was made here
clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist build

.venv/.demo: pyproject.toml deploy/venv.sh
	deploy/venv.sh demo
	@touch $@

.venv/.test: pyproject.toml deploy/venv.sh
	deploy/venv.sh demo,test
	@touch $@ .venv/.demo
