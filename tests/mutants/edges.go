package mutants

// edges are mistakes at the gateway, the registry and the token endpoint.
func edges() []Mutant {
	return []Mutant{
		{
			Name: "ack-before-broker", Races: []string{"R21"}, Wrong: "the gateway answers before the broker has the event",
			File:    "pkg/kafka/inbox.go",
			Edits:   []Edit{{Old: "\tdetached := context.WithoutCancel(ctx)\n", New: "\tdone(nil)\n\tdone = func(error) {}\n\tdetached := context.WithoutCancel(ctx)\n"}},
			Package: "./pkg/kafka", Test: "^(TestInboxDoesNotOutstayItsDeadline|TestInboxWithoutABroker)$",
		},
		{
			Name: "seen-before-stored", Races: []string{"R21"}, Wrong: "an event's id is remembered, in Redis, a second before the broker has the event, and its repetition is answered as a duplicate",
			File: "services/gateway/events.go",
			Edits: []Edit{
				{Old: "import (\n", New: "import (\n\t\"context\"\n\t\"os\"\n\t\"sync\"\n\n\t\"github.com/redis/go-redis/v9\"\n\n"},
				{
					Old: "const maxStoredHeader = 256\n",
					New: "const maxStoredHeader = 256\n\nvar seen sync.Map\n\n" +
						"var memory = sync.OnceValue(func() *redis.Client {\n\tat, err := redis.ParseURL(os.Getenv(\"FLUXNEX_REDIS_URL\"))\n\tif err != nil {\n\t\treturn nil\n\t}\n\treturn redis.NewClient(at)\n})\n\n" +
						"func again(id string) bool {\n\tif m := memory(); m != nil {\n\t\tfirst, err := m.SetNX(context.Background(), \"seen/\"+id, 1, 0).Result()\n\t\treturn err == nil && !first\n\t}\n\t_, known := seen.LoadOrStore(id, true)\n\treturn known\n}\n",
				},
				{Old: "\tfor i, part := range d.Events {\n", New: "\tfor i, part := range d.Events {\n\t\tif again(h.gatewayID(part, i)) {\n\t\t\tcontinue\n\t\t}\n"},
				{Old: "\treturn unsplit\n}", New: "\tif memory() != nil {\n\t\ttime.Sleep(time.Second)\n\t}\n\treturn unsplit\n}"},
			},
			Package: "./services/gateway", Test: "^TestWhatIsRepeatedAfterAFailureIsStored$",
		},
		{
			Name: "registry-away-is-poison", Races: []string{"R20"}, Wrong: "bytes whose schema cannot be asked for now are called unreadable",
			File:    "schemas/codec.go",
			Edits:   []Edit{{Old: "return fault.Retry(CodeUnavailable, fault.Of(err).After, err)", New: "return fault.Unreadable(CodeUnavailable, err)"}},
			Package: "./schemas", Test: "^TestUnknownSchemaIsNotBadBytes$",
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
