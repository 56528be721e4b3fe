# A door to ./dev for fingers that type make.
.DEFAULT_GOAL := help
run test check nightly bench fuzz soak format help:
	@./dev $@
.PHONY: run test check nightly bench fuzz soak format help
