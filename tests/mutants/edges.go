package mutants

// edges are mistakes at the gateway, the registry and the token endpoint.
func edges() []Mutant {
	return []Mutant{
		{
			Name: "ack-before-broker", Races: []string{"R21"}, Wrong: "the gateway answers before the broker has the event",
			File:    "pkg/kafka/inbox.go",
			Edits:   []Edit{{Old: "\tdetached := context.WithoutCancel(ctx)\n", New: "\tdone(nil)\n\tdone = func(error) {}\n\tdetached := context.WithoutCancel(ctx)\n"}},
			Package: "./pkg/kafka", Test: "^(TestInboxDoesNotOutstayItsDeadline|TestInboxWithoutABroker)$",
			Faults: "F4",
		},
		{
			Name: "seen-before-stored", Races: []string{"R21"}, Wrong: "an event's id is remembered before the broker has it, and its repetition is answered as a duplicate",
			File: "services/gateway/events.go",
			Edits: []Edit{
				{Old: "\t\"strings\"\n\t\"time\"\n", New: "\t\"strings\"\n\t\"sync\"\n\t\"time\"\n"},
				{Old: "const maxStoredHeader = 256\n", New: "const maxStoredHeader = 256\n\nvar seen sync.Map\n"},
				{Old: "\tfor i, part := range d.Events {\n", New: "\tfor i, part := range d.Events {\n\t\tif _, again := seen.LoadOrStore(h.gatewayID(part, i), true); again {\n\t\t\tcontinue\n\t\t}\n"},
				// Nor is an event kept for longer than its sender waits.
				{File: "pkg/kafka/inbox.go", Old: "recordDeliveryTimeout = 30 * time.Second", New: "recordDeliveryTimeout = 2 * time.Second"},
			},
			Package: "./services/gateway", Test: "^TestWhatIsRepeatedAfterAFailureIsStored$",
			Faults: "F4",
		},
		{
			Name: "registry-away-is-poison", Races: []string{"R20"}, Wrong: "bytes whose schema cannot be asked for now are called unreadable",
			File:    "schemas/codec.go",
			Edits:   []Edit{{Old: "return fault.Retry(CodeUnavailable, fault.Of(err).After, err)", New: "return fault.Unreadable(CodeUnavailable, err)"}},
			Package: "./schemas", Test: "^TestUnknownSchemaIsNotBadBytes$",
			Faults: "F15",
		},
		{
			Name: "each-process-refreshes", Races: []string{"R18", "R19"}, Wrong: "each process that got a 401 refreshes, although another one has just done so",
			File:    "pkg/httpapi/token/source.go",
			Edits:   []Edit{{Old: "have.Text != \"\" && have.Text != bad &&", New: "have.Text != \"\" && have.Text == bad &&"}},
			Package: "./pkg/httpapi/token", Test: "^TestManyCallsOfManyProcessesRefreshOnce$",
		},
		{
			Name: "refresh-without-lock", Races: []string{"R19"}, Wrong: "two processes refresh one credential at once",
			File: "pkg/postgres/controlplane_secret.go",
			Edits: []Edit{
				{Old: "\"SELECT pg_advisory_lock(hashtextextended($1, 0))\"", New: "\"SELECT hashtextextended($1, 0)\""},
				{Old: "\"SELECT pg_advisory_unlock(hashtextextended($1, 0))\"", New: "\"SELECT hashtextextended($1, 0)\""},
			},
			Package: "./pkg/postgres", Test: "^TestTokenRefreshesOfTwoProcessesDoNotOverlap$",
			Faults: "F1,F10",
		},
		{
			Name: "used-before-durable", Races: []string{"R19"}, Wrong: "a rotated token is used although it could not be stored",
			File:    "pkg/httpapi/token/source.go",
			Edits:   []Edit{{Old: "\tif err == nil {\n\t\th.set(", New: "\tif err == nil || fresh {\n\t\th.set("}},
			Package: "./pkg/httpapi/token", Test: "^TestAProcessKilledAnywhereInARefresh$",
		},
		{
			Name: "refresh-overwrites", Races: []string{"R19", "R24"}, Wrong: "a refresh with the old credentials overwrites those applied meanwhile",
			File:    "pkg/postgres/controlplane_secret.go",
			Edits:   []Edit{{Old: "if !slices.EqualFunc(stored, now,", New: "if stored == nil && !slices.EqualFunc(stored, now,"}},
			Package: "./pkg/postgres", Test: "^TestARefreshDoesNotOverwriteWhatWasApplied$",
		},
	}
}
