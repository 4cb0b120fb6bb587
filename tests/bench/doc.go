// Command bench measures the platform beside the bare thing that bounds each
// part of it: `make bench`.
//
// Subject and baseline take turns in one run on one machine, every sample is
// printed, ratios are medians over pairs. Absolute rates of a shared machine
// move by tens of percent within minutes; ratios of neighbours in time do not.
// Before each pair the machine is looked at while nothing of ours works: a
// measure during which others used it is reported as "host too noisy" and
// neither as met nor as missed.
//
// Services run as the processes they are in production, from the binary given
// by -bin. The baselines are this program again, in another role: a bare HTTP
// handler that produces the body, and copies from topic to topic with the same
// transactions and nothing else.
package main
