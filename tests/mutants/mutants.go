package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutant is one mistake.
type Mutant struct {
	Name  string
	Wrong string // what it does wrong
	File  string // relative to the repository
	Edits []Edit
	// Test must fail: a package, and a pattern of its tests.
	Package, Test string
	// Faults of a torture run that bring it to light.
	Faults string
}

// Edit replaces one text of a file.
type Edit struct{ Old, New string }

// All are the mutants.
func All() []Mutant {
	return []Mutant{
		{
			Name: "commit-before-produce", Wrong: "a stage commits its offsets, then produces in another transaction",
			File: "pkg/kafka/session.go",
			Edits: []Edit{{
				"\trecs := make([]*kgo.Record, len(msgs))\n",
				"\tif ok, err := s.gts.End(ctx, kgo.TryCommit); err != nil || !ok {\n\t\treturn nil, false, err\n\t}\n\tif err := s.gts.Begin(); err != nil {\n\t\treturn nil, false, err\n\t}\n\trecs := make([]*kgo.Record, len(msgs))\n",
			}},
			Package: "./pkg/stage", Test: "^(TestChangelogIsRightThroughRandomFaults|TestCommitWhoseReplyIsLostIsNotRepeated|TestTwoMembersShareTheWorkThroughRebalances)$",
			Faults: "F1,F2,F3,F4",
		},
		{
			Name: "plain-produce", Wrong: "a stage produces outside its transaction",
			File: "pkg/kafka/session.go",
			Edits: []Edit{{
				"\t\ts.gts.Produce(ctx, recs[i], promise)\n\t}\n",
				"\t}\n\tplain, err := kgo.NewClient(kgo.SeedBrokers(s.cfg.Kafka.Brokers...))\n\tif err != nil {\n\t\treturn nil, false, err\n\t}\n\tdefer plain.Close()\n\tfor _, r := range recs {\n\t\tpromise(r, plain.ProduceSync(ctx, r).FirstErr())\n\t}\n",
			}},
			Package: "./pkg/stage", Test: "^(TestZombieWritesNothing|TestChangelogIsRightThroughRandomFaults|TestCommitWhoseReplyIsLostIsNotRepeated)$",
			Faults: "F1,F2,F3,F4",
		},
		{
			Name: "view-before-commit", Wrong: "a stage writes its view before the commit that may fail",
			File: "pkg/stage/member.go",
			Edits: []Edit{{
				"\tpositions, committed, err := m.session.Commit(",
				"\tfor i, o := range res.Outputs {\n\t\tif p := batch[o.Input].Partition; o.Topic == m.cfg.Changelog {\n\t\t\t_, _ = m.views.Apply(m.work, []redis.Batch{{ID: m.viewID(m.cfg.ChangelogView, p), From: m.next[p], To: m.next[p], Entries: []redis.Entry{{Key: string(o.Key), Value: o.Value, Offset: int64(i)}}}})\n\t\t}\n\t}\n\tpositions, committed, err := m.session.Commit(",
			}},
			Package: "./pkg/stage", Test: "^(TestChangelogIsRightThroughRandomFaults|TestZombieWritesNothing)$",
			Faults: "F1,F2,F4",
		},
		{
			Name: "fold-to-stable-offset", Wrong: "a new owner reads the changelog to the last stable offset, past an old owner's open transaction",
			File:    "pkg/stage/fold.go",
			Edits:   []Edit{{"m.reader.HighWatermarks(foldCtx", "m.reader.StableOffsets(foldCtx"}},
			Package: "./pkg/stage", Test: "^TestFoldWaitsForAnOpenTransaction$",
			Faults: "F1,F2,F3",
		},
		{
			Name: "view-without-compare", Wrong: "views are written without comparing their checkpoint",
			File:    "pkg/redis/views.go",
			Edits:   []Edit{{"if current ~= ARGV[1] then return current end\n", ""}},
			Package: "./pkg/redis", Test: "^(TestApplyOnlyFromTheExpectedCheckpoint|TestRacingWritersLeaveOneHistory)$",
			Faults: "F1,F2,F6",
		},
		{
			Name: "last-arrival-wins", Wrong: "the merge ignores versions",
			File:    "services/replica/merge.go",
			Edits:   []Edit{{"\tif version < at0 {\n", "\tif version < at0 && false {\n"}},
			Package: "./services/replica", Test: "^(TestTheEndDoesNotDependOnTheOrder|TestMerge)$",
			Faults: "F1",
		},
		{
			Name: "delete-without-version", Wrong: "an older update revives a deleted record",
			File:    "services/replica/merge.go",
			Edits:   []Edit{{"\tcase o.Version < n.Version:\n\t\treturn\n", ""}},
			Package: "./services/replica", Test: "^(TestADeleteHasAVersion|TestTheEndDoesNotDependOnTheOrder|TestMerge)$",
			Faults: "F1",
		},
		{
			Name: "old-commands-again", Wrong: "a replayed command overwrites a newer state that waits to be sent",
			File: "pkg/postgres/delivery_consume.go",
			Edits: []Edit{{
				"\tWHERE (EXCLUDED.desired_generation, EXCLUDED.desired_offset, EXCLUDED.desired_source) > (r.desired_generation, r.desired_offset, r.desired_source)\n", "",
			}},
			Package: "./pkg/postgres", Test: "^(TestTheNewestStateReplacesWhatWasNotSent|TestRowMachineUnderRandomEvents)$",
			Faults: "F7",
		},
		{
			Name: "overtaken-retry", Wrong: "a retry repeats the old state although a newer one has come",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{"inflight_slot = CASE WHEN f.doubt THEN r.inflight_slot END,", "inflight_slot = CASE WHEN f.doubt OR f.ending = 'retry' THEN r.inflight_slot END,"}},
			Package: "./pkg/postgres", Test: "^(TestARetryCarriesTheNewestState|TestRowMachineUnderRandomEvents)$",
			Faults: "F8",
		},
		{
			Name: "finish-forgets-newer", Wrong: "a finish calls the row done although a newer state waits",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{"WHEN f.ending = 'released' OR ` + newer + ` THEN CASE", "WHEN f.ending = 'released' THEN CASE"}},
			Package: "./pkg/postgres", Test: "^(TestANewerStateWaitsForTheOneInFlight|TestRowMachineUnderRandomEvents)$",
			Faults: "F8",
		},
		{
			Name: "new-request-id", Wrong: "a call of unknown outcome is made again under a new request id, without looking",
			File:    "services/delivery/attempt.go",
			Edits:   []Edit{{"done, remote, err := a.resolve(ctx)", "done, remote, err := false, (*integration.Remote)(nil), error(nil)"}, {"\treturn uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(name), a.digest()...)).String()\n", "\treturn uuid.NewSHA1(uuid.New(), append([]byte(name), a.digest()...)).String()\n"}},
			Package: "./services/delivery", Test: "^TestACrashAnywhereHasOneEffect$/^(answered|stored),_resolve_blind_false,_request_id_memory_false$",
			Faults: "F1,F8",
		},
		{
			Name: "refresh-without-lock", Wrong: "two processes refresh one credential at once",
			File: "pkg/postgres/controlplane_secret.go",
			Edits: []Edit{
				{"\"SELECT pg_advisory_lock(hashtextextended($1, 0))\"", "\"SELECT hashtextextended($1, 0)\""},
				{"\"SELECT pg_advisory_unlock(hashtextextended($1, 0))\"", "\"SELECT hashtextextended($1, 0)\""},
			},
			Package: "./pkg/postgres", Test: "^TestTokenRefreshesOfTwoProcessesDoNotOverlap$",
			Faults: "F1",
		},
		{
			Name: "ack-before-broker", Wrong: "the gateway answers before the broker has the event",
			File:    "pkg/kafka/inbox.go",
			Edits:   []Edit{{"\tselect {\n\tcase <-done:\n\t\tif err", "\tclosed := make(chan struct{})\n\tclose(closed)\n\tselect {\n\tcase <-closed:\n\t\treturn nil\n\tcase <-done:\n\t\tif err"}},
			Package: "./pkg/kafka", Test: "^(TestInboxDoesNotOutstayItsDeadline|TestInboxWithoutABroker)$",
			Faults: "F4",
		},
	}
}

// Overlay writes the mutant's file and the overlay that puts it in place into
// dir, and returns the overlay's path.
func (m Mutant) Overlay(root, dir string) (string, error) {
	original, err := filepath.Abs(filepath.Join(root, m.File))
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	text := string(b)
	for _, e := range m.Edits {
		if n := strings.Count(text, e.Old); n != 1 {
			return "", fmt.Errorf("mutant %s: the text it replaces is %d times in %s, want once: adapt the mutant to the code\n%s", m.Name, n, m.File, e.Old)
		}
		text = strings.Replace(text, e.Old, e.New, 1)
	}
	mutated := filepath.Join(dir, m.Name+".go")
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.Name+".json")
	return path, os.WriteFile(path, overlay, 0o600)
}
