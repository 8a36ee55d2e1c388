// Prints prometheus-rule.yaml: the rules of grafana/alerts, word by word, as the Prometheus operator wants them.
//   node deploy/kubernetes/prometheus-rule.mjs > deploy/kubernetes/prometheus-rule.yaml
import { readFileSync } from 'node:fs'

const rules = readFileSync(new URL('../../grafana/alerts/evenkeel.rules.yaml', import.meta.url), 'utf8')
process.stdout.write(`# Made by prometheus-rule.mjs from grafana/alerts/evenkeel.rules.yaml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: evenkeel
spec:
${rules.replace(/^(?=.)/gm, '  ')}`)
