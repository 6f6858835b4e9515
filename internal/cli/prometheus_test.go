package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	dashboardFile = "../../docs/grafana/ballast.json"
	alertsFile    = "../../docs/prometheus/alerts.yml"

	// promPatience is when a condition is given up that nothing has to wait for long. It is no measurement.
	promPatience = 45 * time.Second
)

// server is a Prometheus server of the test's own.
type server struct{ url string }

// needs skips the test where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not there: apt-get install prometheus", name)
		}
	}
}

// Each alert fires when it should, and not otherwise: promtool runs what is in testdata.
func TestAlerts(t *testing.T) {
	needs(t, "promtool")
	dir := t.TempDir()
	for _, from := range []string{alertsFile, "testdata/prometheus/alerts_test.yml"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile("testdata/prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1)
	if len(names) == 0 {
		t.Error("there is no alert")
	}
	for _, name := range names {
		if !strings.Contains(string(tested), "alertname: "+name[1]+"\n") {
			t.Errorf("%s is not tested", name[1])
		}
	}
}

// A real server, which scrapes the peers of a running demo while they are killed, has data for each query of the dashboard and knows every metric of
// the alerts.
func TestDashboard(t *testing.T) {
	needs(t, "prometheus")
	queries, variables := dashboardQueries(t)
	s := startPrometheus(t, startDemo(t))

	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "every metric is there", func() error {
		return s.checkNames(append(append(slices.Clone(queries), variables...), string(alerts)))
	})
	if err := s.checkNames([]string{queries[0], "rate(ballast_nothing_total[1m])"}); err == nil {
		t.Error("a metric that does not exist is taken for one")
	}
	if err := s.hasData("rate(ballast_nothing_total[1m])"); err == nil {
		t.Error("a query without data is taken for one with data")
	}
	for _, query := range queries {
		s.eventually(t, query, func() error { return s.hasData(query) })
	}
	s.eventually(t, "the server evaluates the alerts", s.rulesAreGood)
	t.Logf("%d queries", len(queries))
}

// dashboardQueries returns the queries of the panels, as Grafana would ask them, and those of the variables.
func dashboardQueries(t *testing.T) (queries, variables []string) {
	t.Helper()
	data, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer("$__rate_interval", "4s")
	for _, v := range dashboard.Templating.List {
		if v.Type == "query" {
			replace = strings.NewReplacer("$__rate_interval", "4s", "$job", "demo", "$instance", ".*", "$store", ".*")
			variables = append(variables, v.Definition)
		}
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			query := replace.Replace(target.Expr)
			if query == target.Expr || strings.Contains(query, "$") {
				t.Errorf("the panel %q has no variables, or unknown ones: %s", p.Title, target.Expr)
			}
			queries = append(queries, query)
		}
	}
	if len(queries) < 20 || len(variables) < 2 {
		t.Fatalf("only %d queries and %d variables", len(queries), len(variables))
	}
	return queries, variables
}

// startDemo starts a demo, which runs until the test ends, and returns where its peers show their metrics.
func startDemo(t *testing.T, args ...string) (targets []string) {
	t.Helper()
	args = append([]string{"demo", "--json", "--seconds", "120", "--writers", "8", "--seed", "1",
		"--metrics", "127.0.0.1:0", "--dir", filepath.Join(t.TempDir(), "demo")}, args...)
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for len(targets) == 0 && lines.Scan() {
		for _, m := range regexp.MustCompile(`http://([^/]+)/metrics`).FindAllStringSubmatch(lines.Text(), -1) {
			targets = append(targets, m[1])
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
			t.Log(lines.Text())
		}
		_ = cmd.Wait() // it was interrupted
	}()
	t.Cleanup(func() { <-ended })
	if len(targets) != 3 {
		t.Fatalf("the demo shows metrics at %q", targets)
	}
	return targets
}

// TestDemoGroupsMetrics: peers with many raft groups on one log show its metrics too.
func TestDemoGroupsMetrics(t *testing.T) {
	target := startDemo(t, "--groups", "4")[0]
	syncs := regexp.MustCompile(`(?m)^ballast_sync_duration_seconds_count\{.*\} [1-9]`)
	var page []byte
	for begun := time.Now(); !syncs.Match(page); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("the first peer shows no syncs:\n%s", page)
		}
		resp, err := http.Get("http://" + target + "/metrics")
		if err != nil {
			continue // it has not opened its log yet, or it was just killed
		}
		page, _ = io.ReadAll(resp.Body) // a part of it is looked at again
		resp.Body.Close()
	}
}

// startPrometheus starts a server with storage and configuration of its own, which ends with the test.
func startPrometheus(t *testing.T, targets []string) *server {
	t.Helper()
	dir := t.TempDir()
	alerts, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: demo, static_configs: [{targets: ["%s"]}]}]
`, alerts, strings.Join(targets, `", "`))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	cmd := exec.CommandContext(t.Context(), "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	log := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", log)
		}
	})
	s := &server{url: "http://" + addr}
	s.eventually(t, "the server is ready", func() error {
		_, err := s.get("/-/ready")
		return err
	})
	return s
}

// eventually waits until something is so.
func (s *server) eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	err := check()
	for limit := time.Now().Add(promPatience); err != nil && time.Now().Before(limit); err = check() {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func (s *server) get(path string) ([]byte, error) {
	resp, err := http.Get(s.url + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// ask decodes the data of an answer.
func (s *server) ask(path string, data any) error {
	body, err := s.get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct{ Data any }{data})
}

var metricName = regexp.MustCompile(`\bballast_\w+`)

// checkNames returns an error when a text names a metric that the server does not know.
func (s *server) checkNames(texts []string) error {
	var known []string
	if err := s.ask("/api/v1/label/__name__/values", &known); err != nil {
		return err
	}
	for _, text := range texts {
		names := metricName.FindAllString(text, -1)
		if len(names) == 0 {
			return fmt.Errorf("no metric is named in %s", text)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				return fmt.Errorf("there is no metric %s", name)
			}
		}
	}
	return nil
}

// hasData returns an error unless the server answers a query with a number.
func (s *server) hasData(query string) error {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := s.ask("/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
		return err
	}
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return nil
		}
	}
	return fmt.Errorf("no data: %v", data.Result)
}

// rulesAreGood returns an error unless the server has evaluated all alerts without one.
func (s *server) rulesAreGood() error {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := s.ask("/api/v1/rules", &data); err != nil {
		return err
	}
	if len(data.Groups) == 0 {
		return errors.New("there are no rules")
	}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				return fmt.Errorf("the alert %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	return nil
}
