// Evaluates CEL expressions with cel-go, for the test that compares ours with it: a line of JSON in,
// {"e": expression, "i": item}, and a line out, the value in a form that both sides write.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
)

type line struct {
	E string          `json:"e"`
	I json.RawMessage `json:"i"`
}

func main() {
	env, err := cel.NewEnv(cel.OptionalTypes(), ext.Strings(), ext.Regex(), ext.Math(), ext.Lists(), ext.Sets(),
		ext.Encoders(), ext.Bindings(), ext.TwoVarComprehensions(), cel.EnableIdentifierEscapeSyntax(),
		cel.Variable("item", cel.DynType))
	if err != nil {
		panic(err)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			panic(err)
		}
		fmt.Fprintln(out, strings.ReplaceAll(evaluate(env, l), "\n", "\\n"))
	}
	if in.Err() != nil {
		panic(in.Err())
	}
}

func evaluate(env *cel.Env, l line) (said string) {
	defer func() {
		if r := recover(); r != nil {
			said = fmt.Sprintf("error panic: %v", r)
		}
	}()
	ast, issues := env.Parse(l.E)
	if issues.Err() != nil {
		return "error " + issues.Err().Error()
	}
	program, err := env.Program(ast)
	if err != nil {
		return "error " + err.Error()
	}
	value, _, err := program.Eval(map[string]any{"item": item(l.I)})
	if err != nil {
		return "error " + err.Error()
	}
	return write(value)
}

// item reads JSON so that whole numbers are whole.
func item(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			panic(err)
		}
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func write(v ref.Val) string {
	switch v := v.(type) {
	case types.Null:
		return "null"
	case types.Bool:
		return fmt.Sprint(bool(v))
	case types.Int:
		return fmt.Sprintf("int:%d", int64(v))
	case types.Uint:
		return fmt.Sprintf("int:%d", uint64(v))
	case types.Double:
		return fmt.Sprintf("double:%016x", math.Float64bits(float64(v)))
	case types.String:
		return "'" + strings.ReplaceAll(string(v), `\`, `\\`) + "'"
	case types.Bytes:
		return fmt.Sprintf("bytes:%x", []byte(v))
	case types.Timestamp:
		t := time.Time(v.Time)
		return fmt.Sprintf("time:%d.%09d", t.Unix(), t.Nanosecond())
	case types.Duration:
		return fmt.Sprintf("span:%d", int64(v.Duration))
	case *types.Optional:
		if !v.HasValue() {
			return "none"
		}
		return "some(" + write(v.GetValue()) + ")"
	case *types.Type:
		return "type:" + v.TypeName()
	case traits.Mapper:
		var fields []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			fields = append(fields, write(k)+": "+write(v.Get(k)))
		}
		sort.Strings(fields)
		return "{" + strings.Join(fields, ", ") + "}"
	case traits.Lister:
		var all []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			all = append(all, write(it.Next()))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case *types.Err:
		return "error " + v.String()
	}
	return fmt.Sprintf("error what is %T", v)
}
