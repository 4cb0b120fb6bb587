// Package rig runs the platform for [torture]: real processes of the binary
// under test, parts of its own that can be killed, a schedule of faults that a
// seed decides, and the judgement afterwards.
//
// What is not ours to break is not broken: with a broker that was given by
// address its faults are left out and the report says so. Start reading at
// [Run]; schedule.go decides what happens when, faults.go does it.
package rig
