// `pm2 start ecosystem.config.js`; .env is read at every start, so a restart is enough after it changed.
module.exports = {
  apps: [{
    name: "api",
    cwd: "/var/www/edfinance/apps/api",
    script: "./start-api",
    interpreter: "sh",
    kill_timeout: 5000,
    exp_backoff_restart_delay: 200,
  }],
};
